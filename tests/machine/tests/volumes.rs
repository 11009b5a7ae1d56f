//! The readers of md, LVM and LUKS against the kernel: it made these volumes and printed the SHA-256 of what its own
//! drivers read. Vouched for by an independent tool throughout. Needs QEMU and a Debian mirror.

mod volumes {
    pub(crate) mod crypt;
    pub(crate) mod lvm;
    pub(crate) mod md;
}

use evidence::volume::{Assembled, Member};
use evidence::{FileSource, Source, Window, partition};
use machine::volumes::{DISKS, Sum, recipes, sums};
use sha2::Digest;
use std::sync::{Arc, OnceLock};

/// The disks with what the kernel said of them.
struct Made {
    disks: Vec<(Arc<dyn Source>, partition::Table)>,
    sums: Vec<Sum>,
}

/// Makes the disks once; `None` where virtual machines are not wanted.
fn made() -> Option<&'static Made> {
    static MADE: OnceLock<Result<Made, String>> = OnceLock::new();
    if std::env::var("GLOVEBOX_VM").is_err() {
        eprintln!("skipped: GLOVEBOX_VM is not set");
        return None;
    }
    // A failure is kept too: the other tests must not make everything once more.
    let made = MADE.get_or_init(|| {
        let folder = machine::volumes::folder().map_err(|error| error.chain())?;
        let disks = DISKS.iter().map(|name| {
            let file = std::fs::File::open(folder.join(format!("{name}.img"))).expect("image");
            let disk: Arc<dyn Source> = Arc::new(FileSource::new(file, 512).expect("size"));
            let table = partition::read_table(&*disk);
            (disk, table)
        });
        let sums = sums(&folder).map_err(|error| error.chain())?;
        Ok(Made { disks: disks.collect(), sums })
    });
    Some(made.as_ref().unwrap_or_else(|error| panic!("{error}")))
}

impl Made {
    /// The partitions of one recipe, as members named like its variables.
    fn members(&self, recipe: &str) -> Vec<Member> {
        let number = recipes().iter().position(|one| one.name == recipe).expect("recipe") + 1;
        let member = |(name, (disk, table)): (&&str, &(Arc<dyn Source>, partition::Table))| {
            let part = table.partitions.iter().find(|part| part.number as usize == number);
            let part = part.expect("partition");
            let window = Window::new(Arc::clone(disk), part.start_bytes, part.length_bytes);
            Member { name: (*name).to_owned(), source: Arc::new(window) }
        };
        DISKS.iter().zip(&self.disks).map(member).collect()
    }

    /// What the kernel said of the volumes of a recipe.
    fn sums(&self, recipe: &str) -> Vec<&Sum> {
        self.sums.iter().filter(|sum| sum.recipe == recipe).collect()
    }
}

/// The SHA-256 of all a source holds.
fn sha256(source: &Arc<dyn Source>) -> String {
    let mut state = sha2::Sha256::new();
    let mut buf = vec![0; 1 << 20];
    let mut at = 0;
    while at < source.size_bytes() {
        let got = source.read_at(at, &mut buf).unwrap_or_else(|error| panic!("{error}"));
        state.update(&buf[..got]);
        at += got as u64;
    }
    state.finalize().iter().map(|byte| format!("{byte:02x}")).collect()
}

/// That the volume is what the kernel saw.
fn check(volume: &Assembled, sum: &Sum) {
    let source = volume.source.as_ref().unwrap_or_else(|| panic!("not readable: {volume:?}"));
    assert_eq!(source.size_bytes(), sum.size_bytes, "size of {volume:?}");
    assert_eq!(sha256(source), sum.sha256, "content of {volume:?}");
}

/// Whether a problem says this.
fn says(volume: &Assembled, text: &str) -> bool {
    volume.problems.iter().any(|problem| problem.text.contains(text))
}
