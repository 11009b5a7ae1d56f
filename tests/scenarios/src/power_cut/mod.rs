//! The power is cut while a case is being written: at most the act in progress is lost, and said so.
//!
//! One session of the stick writes a case to a medium of each kind while QEMU logs every write and
//! flush. From the log come as many disks as wanted, each as a cut at a random moment leaves it: what
//! was not flushed is kept, lost or scattered by sectors. A second session goes on with disks cut in
//! the first, so that its recovery is cut too. Both sessions end by a real cut in the midst of an
//! act. exFAT and FAT have no journal, and a drive that writes what is not flushed in any order may ruin a
//! file that grows: acts are kept in two files for that, written one after the other. The control: disks that
//! lie about their flushes lose what was acknowledged, and that is seen.

mod judge;
mod medium;

use crate::stage::Stage;
use judge::{Acknowledged, Left, judge};
use libtest_mimic::Trial;
use machine::chance::Chance;
use machine::error::{Result, test};
use machine::guest::Guest;
use machine::write_log::{Cache, Lost, Replay, WriteLog};
use machine::{Builder, Bus, Disk, Error, digest};
use medium::Kind;
use std::path::{Path, PathBuf};
use std::time::Duration;

const NAME: &str = "case/power-cut";
const CASE: &str = "cut";
/// Cuts of each medium in each session, beside those right after an acknowledgement.
const CUTS: usize = 24;
const SOURCE_BYTES: usize = 1 << 20;

/// The trials of this file.
pub(crate) fn trials(stage: &'static Stage) -> Vec<Trial> {
    vec![stage.trial(NAME, power_cut)]
}

/// A medium in a session.
struct Medium {
    kind: Kind,
    session: String,
    /// As it was at the start.
    base: PathBuf,
    file: PathBuf,
    log: WriteLog,
    acknowledged: Vec<Acknowledged>,
    /// Folder of the case in the guest.
    case: String,
}

/// What all cuts came to.
#[derive(Debug, Default)]
struct Tally {
    cuts: usize,
    lossy: usize,
    no_case: usize,
    whole: usize,
    interrupted: usize,
    lies_seen: usize,
    lost_sectors: u64,
    faults: Vec<String>,
    /// Cuts of a medium without a journal whose drive wrote in any order.
    out_of_order_without_journal: usize,
}

impl Tally {
    /// Takes the judgement of one cut: a fault is kept, and the cuts go on.
    fn take(&mut self, judged: Result<Left>, lost: Lost, place: &str) -> Result<Option<Left>> {
        match judged {
            Ok(left) => {
                self.count(left, lost);
                Ok(Some(left))
            }
            Err(Error::Test(text)) => {
                self.cuts += 1;
                self.faults.push(format!("{place}: {text}"));
                Ok(None)
            }
            Err(other) => Err(other),
        }
    }

    fn count(&mut self, left: Left, lost: Lost) {
        self.cuts += 1;
        self.lossy += usize::from(lost.lost_sectors > 0);
        self.lost_sectors += lost.lost_sectors;
        match left {
            Left::NoCase => self.no_case += 1,
            Left::Whole => self.whole += 1,
            Left::Interrupted => self.interrupted += 1,
        }
    }
}

fn power_cut(stage: &'static Stage, folder: &Path) -> Result<()> {
    let mut chance = Chance::from_environment();
    let seed = chance.seed;
    let told = |e: Error| match e {
        Error::Test(text) => Error::Test(format!("GLOVEBOX_SEED={seed}: {text}")),
        other => other,
    };
    let mut tally = Tally::default();
    let ended = both_sessions(stage, folder, &mut chance, &mut tally).map_err(told);
    stage.report(NAME, &format!("GLOVEBOX_SEED={seed}\n{tally:#?}"))?;
    ended?;
    if let Some(first) = tally.faults.first() {
        let (count, cuts) = (tally.faults.len(), tally.cuts);
        return test(format!("GLOVEBOX_SEED={seed}: {count} of {cuts} cuts: {first}"));
    }
    // A trial in which nothing was lost would say nothing about flushing.
    let enough = tally.cuts >= 100 && tally.lossy * 6 > tally.cuts && tally.interrupted > 10;
    if enough { Ok(()) } else { test(format!("too few cuts that cost something: {tally:?}")) }
}

fn both_sessions(
    stage: &'static Stage,
    folder: &Path,
    chance: &mut Chance,
    tally: &mut Tally,
) -> Result<()> {
    let source = folder.join("source.img");
    let bytes: Vec<u8> = (0..SOURCE_BYTES).map(|at| (at * 31 % 251) as u8).collect();
    std::fs::write(&source, bytes).map_err(|e| Error::Machine(e.to_string()))?;
    let fresh: Vec<PathBuf> = Kind::ALL
        .iter()
        .map(|kind| {
            let base = folder.join(format!("{}-1-base.img", kind.name()));
            kind.make(&base).map(|()| base)
        })
        .collect::<Result<_>>()?;
    let mut media = prepare(folder, "1", fresh, &[])?;
    session(stage, &folder.join("1"), &source, &mut media, chance)?;
    let mut next = Vec::new();
    let mut told = Vec::new();
    for medium in &mut media {
        let (left, acknowledged) = cuts(folder, medium, chance, tally)?;
        medium.kind.repair(&left)?;
        told.push(medium.lying_on(folder, &left, acknowledged)?);
        next.push(left);
    }
    let mut media = prepare(folder, "2", next, &told)?;
    session(stage, &folder.join("2"), &source, &mut media, chance)?;
    for medium in &mut media {
        cuts(folder, medium, chance, tally)?;
    }
    Ok(())
}

fn prepare(
    folder: &Path,
    session: &str,
    bases: Vec<PathBuf>,
    told: &[Vec<Acknowledged>],
) -> Result<Vec<Medium>> {
    let mut media = Vec::new();
    for (place, (kind, base)) in Kind::ALL.into_iter().zip(bases).enumerate() {
        let at = |what: &str| folder.join(format!("{}-{session}-{what}.img", kind.name()));
        digest::copy(&base, &at("disk"))?;
        let mut acknowledged = told.get(place).cloned().unwrap_or_default();
        acknowledged.iter_mut().for_each(|one| one.at = 0);
        let log = WriteLog::create(&at("log"))?;
        let case = String::new();
        let (file, session) = (at("disk"), session.to_owned());
        media.push(Medium { kind, session, base, file, log, acknowledged, case });
    }
    Ok(media)
}

/// One session of the stick, ended by a cut in the midst of imaging.
fn session(
    stage: &'static Stage,
    folder: &Path,
    source: &Path,
    media: &mut [Medium],
    chance: &mut Chance,
) -> Result<()> {
    let disks = media.iter().map(|medium| {
        Disk::new(medium.kind.name(), &medium.file, Bus::VirtioBlk).logged(medium.log.path())
    });
    let builder = Builder::new(stage.image()?.netboot()?)
        .processors(2)
        .disk(Disk::new("source", source, Bus::Ahci))
        .disks(disks);
    let mut guest = Guest::boot(builder, folder)?;
    let source = guest.name_of("SOURCE")?;
    guest.expect("seq 1 3000 >/tmp/attached", &[0])?;
    // All of them first: unlocking is an act of the case in use.
    for medium in &mut *media {
        let place = guest.unlock(&medium.kind.name().to_uppercase())?;
        medium.case = format!("{place}/{CASE}");
    }
    for medium in &mut *media {
        if medium.acknowledged.is_empty() {
            let place = medium.case.trim_end_matches(CASE);
            let line = format!(
                "glovebox case create {CASE} --on {place} --examiner E --no-passphrase --json"
            );
            medium.act(&mut guest, &line)?;
        }
    }
    for round in 0..2 {
        for medium in &mut *media {
            let case = medium.case.clone();
            for line in [
                format!("glovebox case note 'note {round}' --case {case} --json"),
                format!("glovebox case attach /tmp/attached --case {case} --json"),
                format!("glovebox case note 'more {round}' --case {case} --json"),
                format!("glovebox image {source} --case {case} --json"),
            ] {
                medium.act(&mut guest, &line)?;
            }
        }
    }
    let all: Vec<String> = media
        .iter()
        .map(|medium| format!("glovebox image {source} --case {} &", medium.case))
        .collect();
    let _running = guest.shell.begin(&format!("{} wait", all.join(" ")))?;
    std::thread::sleep(Duration::from_millis(chance.between(200, 3000) as u64));
    guest.machine.cut()
}

impl Medium {
    /// Runs a verb that records one act.
    fn act(&mut self, guest: &mut Guest, line: &str) -> Result<()> {
        let answer = guest.json(line, &[0])?;
        let known = self.acknowledged.last().map_or(0, |last| last.number);
        let said = answer.iter().find_map(|record| record["act"].as_u64());
        let said = said.map(|number| usize::try_from(number).unwrap_or(usize::MAX));
        let number = known + 1;
        if let Some(said) = said.filter(|&said| said != number) {
            return test(format!("`{line}` says act {said} after {known}"));
        }
        let head = answer.iter().find_map(|record| record["head"].as_str()).map(str::to_owned);
        self.acknowledged.push(Acknowledged { number, head, at: self.log.follow()? });
        Ok(())
    }
}

/// Cuts one medium many times; gives a cut disk to go on with, and what was acknowledged on it.
fn cuts(
    folder: &Path,
    medium: &mut Medium,
    chance: &mut Chance,
    tally: &mut Tally,
) -> Result<(PathBuf, Vec<Acknowledged>)> {
    let end = medium.log.follow()?;
    let medium = &*medium;
    let kind = medium.kind;
    let session = &medium.session;
    let at = |what: &str| folder.join(format!("{}-{session}-{what}.img", kind.name()));
    // First what really lies there: QEMU was killed.
    let real = medium.check(folder, &medium.file, end);
    let place = format!("{kind:?} when QEMU was killed");
    tally.take(real, Lost::default(), &place)?;

    let mut points: Vec<(usize, Cache)> = Vec::new();
    for _ in 0..CUTS {
        let cache = [Cache::Kept, Cache::Lost, Cache::Scattered][chance.between(0, 3)];
        points.push((chance.between(0, end + 1), cache));
    }
    // Right after an act was acknowledged, when least has had time to reach the medium.
    points.extend(medium.acknowledged.iter().map(|one| (one.at, Cache::Lost)));
    points.sort_by_key(|(point, _)| *point);
    let mut replay = medium.log.replay(&medium.base, &at("work"))?;
    let next = at("next");
    let mut chosen = Vec::new();
    for (point, cache) in points {
        let disk = at("cut");
        let lost = replay.cut(point, cache, chance, &disk)?;
        // Reading may repair, so what goes on is a copy from before.
        let copy = at("copy");
        digest::copy(&disk, &copy)?;
        let place = format!("{kind:?} cut at {point} of {end}, cache {cache:?}");
        let out_of_order = cache == Cache::Scattered && !kind.has_journal();
        tally.out_of_order_without_journal += usize::from(out_of_order);
        let left = tally.take(medium.check(folder, &disk, point), lost, &place)?;
        let told = medium.acknowledged_by(point);
        if !told.is_empty()
            && left.is_some()
            && (chosen.is_empty() || (left == Some(Left::Interrupted) && chance.once_in(3)))
        {
            chosen = told.to_vec();
            digest::copy(&copy, &next)?;
        }
    }
    medium.lie(folder, chance, tally, &mut medium.log.replay(&medium.base, &at("work"))?)?;
    Ok((next, chosen))
}

impl Medium {
    fn acknowledged_by(&self, point: usize) -> &[Acknowledged] {
        let count = self.acknowledged.iter().take_while(|one| one.at <= point).count();
        &self.acknowledged[..count]
    }

    /// What the next session finds on `disk`: the act under way when the power went may have reached
    /// the medium without anybody having been told. From then on it must stay like the others.
    fn lying_on(
        &self,
        folder: &Path,
        disk: &Path,
        mut acknowledged: Vec<Acknowledged>,
    ) -> Result<Vec<Acknowledged>> {
        // Reading may repair.
        let copy = folder.join(format!("{}-copy.img", self.kind.name()));
        digest::copy(disk, &copy)?;
        if let Some(case) = self.kind.read_case(&copy, CASE, &folder.join("read"))? {
            acknowledged.extend(judge::acts_after(&case, acknowledged.len())?);
        }
        Ok(acknowledged)
    }

    fn check(&self, folder: &Path, disk: &Path, point: usize) -> Result<Left> {
        let case = self.kind.read_case(disk, CASE, &folder.join("read"))?;
        judge(case.as_deref(), self.acknowledged_by(point))
    }

    /// The control: a medium that throws away what it said was flushed.
    fn lie(
        &self,
        folder: &Path,
        chance: &mut Chance,
        tally: &mut Tally,
        replay: &mut Replay<'_>,
    ) -> Result<()> {
        let kind = self.kind;
        for pair in self.acknowledged.windows(2) {
            let (before, after) = (&pair[0], &pair[1]);
            if before.at == after.at {
                continue;
            }
            if self.log.flushes(after.at) == self.log.flushes(before.at) {
                return test(format!("{kind:?}: act {} was never flushed", after.number));
            }
            let disk = folder.join(format!("{}-cut.img", kind.name()));
            replay.cut(before.at, Cache::Kept, chance, &disk)?;
            match self.check(folder, &disk, after.at) {
                Err(Error::Test(text)) if text.contains("missing") => tally.lies_seen += 1,
                other => return test(format!("{kind:?}: a lying medium was not seen: {other:?}")),
            }
        }
        Ok(())
    }
}
