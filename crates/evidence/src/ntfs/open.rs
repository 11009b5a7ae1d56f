//! Opening a volume: the boot sector or its copy, the Master File Table from its own first record, then what it tells.

use super::boot::{self, Geometry};
use super::content::Content;
use super::object::Object;
use super::record::{Attribute, Body, Record, kind};
use super::{Ntfs, SLOTS, secure, state};
use crate::bytes::{to_u64, to_usize};
use crate::error::EvidenceError;
use crate::problem::{Place, Problem, ProblemKind};
use crate::source::{Cached, Source};
use std::sync::{Arc, OnceLock};

/// Kept of records and indexes, and the pieces it is read in.
const CACHE_BYTES: usize = 48 << 20;
const CACHE_PIECE_BYTES: usize = 32 * 1024;
/// The mirror holds four records, or as many as fit in a cluster.
const MIRRORED: u64 = 4;

impl Ntfs {
    /// Opens the volume that begins at the start of `source`.
    ///
    /// # Errors
    /// When neither boot sector makes sense or the first record of the MFT cannot be read, nor its copy.
    pub fn open(source: Arc<dyn Source>) -> Result<Self, EvidenceError> {
        let mut problems = Vec::new();
        let geometry = geometry(&*source, &mut problems)?;
        let mirror = mirror(&*source, &geometry);
        let first = first_record(&*source, &geometry, &mirror, &mut problems)?;
        let pieces: Vec<Attribute<'_>> =
            first.attributes().filter(|a| a.kind == kind::DATA && a.name.is_empty()).collect();
        let sizes = (geometry.cluster_bytes, geometry.clusters);
        let table = Content::join(pieces, sizes, "the MFT")?;
        let mut ntfs = Self {
            metadata: Cached::new(Arc::clone(&source), CACHE_PIECE_BYTES, CACHE_BYTES),
            source,
            geometry,
            table,
            mirror,
            volume: state::Volume::default(),
            security: OnceLock::new(),
            slots: (0..=SLOTS).map(|_| std::sync::Mutex::default()).collect(),
            problems: Vec::new(),
        };
        ntfs.complete_table(&first, &mut problems);
        ntfs.volume = state::volume(&ntfs, &mut problems);
        state::log_file(&ntfs, &mut problems);
        state::hibernation(&ntfs, &mut problems);
        ntfs.problems = problems;
        Ok(ntfs)
    }

    /// A torn MFT tells its later runs in records that stand in its earlier ones, so it is read step by step.
    fn complete_table(&mut self, first: &Record, problems: &mut Vec<Problem>) {
        let place = Place::Node(0);
        let is_continued = first.attributes().any(|a| a.kind == kind::ATTRIBUTE_LIST);
        if let Some(damage) = &first.damage {
            problems.push(Problem::new(ProblemKind::Corrupt, place.clone(), damage.clone()));
        }
        if !is_continued {
            return;
        }
        // Each round knows more of the table; a record may name others only a few times over.
        for _ in 0..8 {
            let before = self.table.runs().len();
            let object = match Object::complete(self, first.clone()) {
                Ok(object) => object,
                Err(error) => return problems.push(error.to_problem(place)),
            };
            match object.content(self, kind::DATA, b"") {
                Ok(Some(table)) if table.runs().len() > before => self.table = table,
                Ok(_) => {
                    for damage in object.damage {
                        problems.push(Problem::new(ProblemKind::Corrupt, place.clone(), damage));
                    }
                    return;
                }
                Err(error) => return problems.push(error.to_problem(place)),
            }
        }
    }

    pub(super) fn descriptors(&self) -> &secure::Descriptors {
        self.security.get_or_init(|| secure::Descriptors::load(self).unwrap_or_default())
    }
}

/// The boot sector, or its copy in the last sector, which is told.
fn geometry(source: &dyn Source, problems: &mut Vec<Problem>) -> Result<Geometry, EvidenceError> {
    let read = |at: u64| {
        source
            .bytes_at(at, 512)
            .map_err(EvidenceError::read("the NTFS boot sector"))
            .and_then(|raw| boot::parse(&raw))
    };
    let size = source.size_bytes();
    let error = match read(0) {
        Ok(geometry) => {
            compare_sizes(&geometry, size, problems);
            return Ok(geometry);
        }
        Err(error) => error,
    };
    for sector_bytes in [512, 4096] {
        let at = size.saturating_sub(sector_bytes);
        if let Ok(geometry) = read(at) {
            let text = format!("{error}; its copy at {at} is used");
            problems.push(Problem::new(error.kind(), Place::OffsetBytes(0), text));
            return Ok(geometry);
        }
    }
    Err(error)
}

fn compare_sizes(geometry: &Geometry, size: u64, problems: &mut Vec<Problem>) {
    let claimed = geometry.clusters.saturating_mul(geometry.cluster_bytes);
    if claimed > size {
        let text = format!("the volume claims {claimed} bytes, the source has {size}");
        problems.push(Problem::new(ProblemKind::Corrupt, Place::Source, text));
    }
}

/// Record `number` where the table or its mirror begins, before any runs are known.
fn record_at(
    source: &dyn Source,
    geometry: &Geometry,
    first_cluster: u64,
    number: u64,
) -> Result<Record, EvidenceError> {
    let at = first_cluster
        .saturating_mul(geometry.cluster_bytes)
        .saturating_add(number.saturating_mul(geometry.record_bytes));
    let raw = source
        .bytes_at(at, to_usize(geometry.record_bytes))
        .map_err(EvidenceError::read(format!("MFT record {number}")))?;
    Record::parse(number, raw)
}

fn mirror(source: &dyn Source, geometry: &Geometry) -> Vec<Option<Record>> {
    (0..MIRRORED)
        .map(|number| record_at(source, geometry, geometry.mirror_cluster, number).ok())
        .collect()
}

/// The record that describes the table, from the mirror when it is damaged; differences of the two are told.
fn first_record(
    source: &dyn Source,
    geometry: &Geometry,
    mirror: &[Option<Record>],
    problems: &mut Vec<Problem>,
) -> Result<Record, EvidenceError> {
    for (number, copy) in mirror.iter().enumerate() {
        let number = to_u64(number);
        let own = record_at(source, geometry, geometry.mft_cluster, number);
        let text = match (&own, copy) {
            (Ok(_), None) => format!("the copy of MFT record {number} in $MFTMirr is not readable"),
            (Err(error), Some(_)) => format!("{error}; its copy in $MFTMirr is used"),
            (Ok(own), Some(copy)) if !is_same(own, copy) => {
                format!("MFT record {number} and its copy in $MFTMirr tell of different clusters")
            }
            _ => continue,
        };
        problems.push(Problem::new(ProblemKind::Corrupt, Place::Node(number), text));
    }
    let own = record_at(source, geometry, geometry.mft_cluster, 0);
    match (own, mirror.first()) {
        (Err(_), Some(Some(copy))) => Ok(copy.clone()),
        (own, _) => own,
    }
}

/// Whether two copies of a record tell of the same clusters; times and log numbers may lag behind.
fn is_same(own: &Record, copy: &Record) -> bool {
    let runs = |record: &Record| -> Vec<Vec<u8>> {
        record
            .attributes()
            .filter_map(|attribute| match attribute.body {
                Body::Clusters(piece) => Some(piece.runs.to_vec()),
                Body::Resident(_) => None,
            })
            .collect()
    };
    runs(own) == runs(copy)
}
