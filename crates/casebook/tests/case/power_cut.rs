//! The power goes at every step of an act, with every part of the write in progress on the medium.
//!
//! Vouched for by an independent path: the states are made from copies of the files, not by the
//! code that writes them. What is assumed of the medium is what the code asks of it: a write that
//! was waited for is there; of the one in progress there is any prefix, or zeros of its length.

use crate::common;

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use casebook::{Case, VerifyOptions, read_acts, verify};

/// Every file with its content, directories with `None`.
type Snapshot = BTreeMap<PathBuf, Option<Vec<u8>>>;

fn snapshot(root: &Path) -> Snapshot {
    let mut all = Snapshot::new();
    let mut folders = vec![root.to_path_buf()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder).unwrap() {
            let path = entry.unwrap().path();
            let name = path.strip_prefix(root).unwrap().to_path_buf();
            if path.is_dir() {
                all.insert(name, None);
                folders.push(path);
            } else {
                all.insert(name, Some(fs::read(&path).unwrap()));
            }
        }
    }
    all
}

fn restore(root: &Path, files: &Snapshot) {
    if root.exists() {
        fs::remove_dir_all(root).unwrap();
    }
    fs::create_dir(root).unwrap();
    for (name, content) in files {
        match content {
            None => fs::create_dir(root.join(name)).unwrap(),
            Some(bytes) => fs::write(root.join(name), bytes).unwrap(),
        }
    }
}

/// The order in which an act touches files: its marker, then exhibits, then the list, then its copy.
fn rank(name: &Path) -> u8 {
    let name = name.to_string_lossy();
    match () {
        () if name.starts_with("acts.open") => 0,
        () if name.starts_with("exhibits") => 1,
        () if name.starts_with("acts.copy") => 3,
        () => 2,
    }
}

/// All states between two moments: every change before one is whole, those after it are not there.
fn between(before: &Snapshot, after: &Snapshot) -> Vec<Snapshot> {
    let mut changed: Vec<&PathBuf> =
        after.keys().filter(|name| before.get(*name) != after.get(*name)).collect();
    changed.sort_by_key(|name| (rank(name), (*name).clone()));
    let (mut states, mut now) = (Vec::new(), before.clone());
    for name in changed {
        if let Some(whole) = &after[name] {
            let old = before.get(name).cloned().flatten().unwrap_or_default();
            let same = old.iter().zip(whole).take_while(|(a, b)| a == b).count();
            // The reserve of a marker is blank: only what says something is cut at every byte.
            let end = whole.iter().rposition(|byte| *byte != b' ').map_or(0, |at| at + 1);
            let step = (end.saturating_sub(same) / 12).max(1);
            for length in (same..end).step_by(step).chain([end.saturating_sub(1)]) {
                let mut torn = whole[..length.max(same).min(whole.len())].to_vec();
                states.push(with(&now, name, torn.clone()));
                // What was there before stays behind the part that was written.
                torn.extend(old.get(torn.len()..).unwrap_or_default());
                states.push(with(&now, name, torn));
            }
            let mut zeros = whole[..same].to_vec();
            zeros.resize(end, 0);
            states.push(with(&now, name, zeros));
        }
        now.insert(name.clone(), after[name].clone());
        states.push(now.clone());
    }
    for name in before.keys().filter(|name| !after.contains_key(*name)) {
        now.remove(name);
        states.push(now.clone());
    }
    states
}

fn with(files: &Snapshot, name: &Path, content: Vec<u8>) -> Snapshot {
    let mut files = files.clone();
    files.insert(name.to_path_buf(), Some(content));
    files
}

#[test]
fn a_power_cut_at_any_step_loses_at_most_the_act_in_progress() {
    let root = tempfile::tempdir().unwrap();
    let dir = root.path().join("case");
    let (case, signer) = common::create(&dir);
    case.note(common::draft("case create"), &signer).unwrap();
    common::add_exhibit(&case, &signer, "first", b"first disk");
    let mut moments = vec![snapshot(&dir)];
    let act = case.begin(common::draft("image"), &signer).unwrap();
    moments.push(snapshot(&dir));
    let exhibit = act.new_exhibit("second").unwrap();
    moments.push(snapshot(&dir));
    let item = exhibit.add_file("disk.raw", b"second disk").unwrap();
    moments.push(snapshot(&dir));
    act.finish(common::completion(vec![item])).unwrap();
    moments.push(snapshot(&dir));
    let cut = root.path().join("cut");
    let (mut states, mut interrupted) = (0, 0);
    for pair in moments.windows(2) {
        for state in between(&pair[0], &pair[1]) {
            restore(&cut, &state);
            let result = verify(&cut, &VerifyOptions::default()).unwrap();
            assert!(result.holds(), "state {states}: {:?}", result.problems);
            assert!((2..=3).contains(&read_acts(&cut).unwrap().len()));
            interrupted += usize::from(!result.interruptions.is_empty());
            let signed = Case::open(&cut).unwrap().note(common::draft(""), &signer).unwrap();
            assert!((3..=4).contains(&signed.act().unwrap().number));
            let result = verify(&cut, &VerifyOptions::default()).unwrap();
            assert!(result.holds(), "state {states}, after: {:?}", result.problems);
            states += 1;
        }
    }
    assert!(states > 60 && interrupted > 50, "{interrupted} of {states}");
}

/// What a drive that writes in any order may leave of a file in flux on a file system without a journal, up to
/// this sector.
fn in_flux(whole: &[u8], sector: usize) -> Vec<Option<Vec<u8>>> {
    let at = sector * 512;
    let kept = &whole[..at];
    let rest = whole.len() - at;
    let marker = b"{\"after\":\"00\"}".iter().chain(&[b' '; 700]).copied().cycle().take(rest);
    let elsewhere = whole.iter().copied().cycle().skip(at + 3 * 512).take(rest);
    vec![
        (sector > 0).then(|| kept.to_vec()),
        Some([kept, &vec![0; rest]].concat()),
        Some([kept, &vec![0xe5; rest + 4096]].concat()),
        Some(kept.iter().copied().chain(marker).collect()),
        Some(kept.iter().copied().chain(elsewhere).collect()),
    ]
}

/// Either file in any such state, while the other is whole: nothing recorded is lost, it is said, and the next
/// act makes both the same. States in the midst of that mending are among these.
#[test]
fn a_list_in_flux_is_mended_from_the_other() {
    let root = tempfile::tempdir().unwrap();
    let dir = root.path().join("case");
    let (case, signer) = common::create(&dir);
    for _ in 0..8 {
        case.note(common::draft("case note"), &signer).unwrap();
    }
    let before = snapshot(&dir);
    case.note(common::draft("case note"), &signer).unwrap();
    let after = snapshot(&dir);
    let [list, copy] = ["acts.jsonl", "acts.copy.jsonl"].map(Path::new);
    let whole = after[list].clone().unwrap();
    assert_eq!(after[copy].as_deref(), Some(&whole[..]));
    // The list is written first: while it is in flux the copy is as before, and the other way round.
    for (flux, other, sound, acts) in [(list, copy, &before, 8), (copy, list, &after, 9)] {
        for sector in (0..whole.len() / 512).step_by(3) {
            for (which, content) in in_flux(&whole, sector).into_iter().enumerate() {
                let mut state = before.clone();
                state.insert(other.to_path_buf(), sound[other].clone());
                match content {
                    Some(content) => state.insert(flux.to_path_buf(), Some(content)),
                    None => state.remove(flux),
                };
                let what = format!("{} from sector {sector}, {which}", flux.display());
                restore(&dir, &state);
                let result = verify(&dir, &VerifyOptions::default()).unwrap();
                assert!(result.holds(), "{what}: {:?}", result.problems);
                assert!(!result.interruptions.is_empty(), "{what}");
                assert_eq!(
                    (result.acts, read_acts(&dir).unwrap().len()),
                    (acts, acts as usize),
                    "{what}"
                );
                let next = Case::open(&dir).unwrap().note(common::draft(""), &signer).unwrap();
                assert_eq!(next.act().unwrap().number, acts + 1, "{what}");
                let lists = [list, copy].map(|name| fs::read(dir.join(name)).unwrap());
                assert_eq!(lists[0], lists[1], "{what}");
                let result = verify(&dir, &VerifyOptions::default()).unwrap();
                assert!(result.holds() && result.strangers.is_empty(), "{what}: {result:?}");
                let torn = fs::read_dir(&dir).unwrap().any(|entry| {
                    entry.unwrap().file_name().to_string_lossy().starts_with("acts.torn")
                });
                // Half a line that the other does not have is kept.
                let half = flux == list && sector * 512 > before[copy].as_ref().unwrap().len();
                assert_eq!(torn, which > 0 || half, "{what}");
            }
        }
    }
}
