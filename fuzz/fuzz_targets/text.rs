//! The parsers of a Linux system's text files, package databases and boot images. The first byte chooses, so that one corpus serves all.
#![no_main]

use archive::advisories::{Form, Installed, Release, open};
use archive::rpm::to_attribute;
use triage::parse::rpm::{bdb, ndb, parse_header, sqlite};
use triage::parse::{accounts, apk, cron, dpkg, git, initramfs, pacman, unit};

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    let Some((choice, rest)) = data.split_first() else { return };
    match choice % 18 {
        0 => drop(accounts::parse(rest)),
        1 => drop(accounts::parse_shadow(rest)),
        2 => drop(accounts::parse_groups(rest)),
        3 => drop(cron::parse(rest, cron::Layout::System)),
        4 => drop(unit::parse(rest)),
        5 => drop(dpkg::parse_status(rest)),
        6 => drop(dpkg::parse_md5sums(rest)),
        7 => git::parse(rest).iter().for_each(|one| {
            let _ = git::runs_program(one);
        }),
        8 => drop(apk::parse(rest)),
        9 => drop(pacman::parse_mtree(&pacman::unpack(rest))),
        10 => drop(parse_header(rest)),
        11 => {
            let _ = ndb::for_each(&rest, &mut |raw| drop(parse_header(raw)));
        }
        12 => {
            let _ = bdb::for_each(&rest, &mut |raw| drop(parse_header(raw)));
        }
        13 => drop(initramfs::for_each(&rest, &mut |_| {})),
        14 => drop(to_attribute(rest)),
        15 | 16 => {
            let form = if choice % 18 == 15 { Form::DebianTracker } else { Form::Osv };
            let [id, codename, number] = ["debian", "a", "1"].map(str::to_owned);
            let installed = Installed::from([("a".to_owned(), ["1".to_owned()].into())]);
            let _ = open(form, "x", rest, &Release { id, codename, number }, &installed);
        }
        _ => {
            let (file, log) = rest.split_at(rest.len() / 2);
            if let Ok(database) = sqlite::Database::open(&file, Some(&log)) {
                let _ = database.rows("Packages", &mut |_| {});
            }
        }
    }
});
