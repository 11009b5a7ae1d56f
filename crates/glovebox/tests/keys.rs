//! Several keys over one archive, and a key that takes the place of another, by the program as a person runs it. Vouched for
//! by `minisign`, which checks each signature; what counts for how much is the library's rule.

mod team;

use std::path::Path;

use team::{Team, done, lines, run, tool};

#[test]
fn two_signatures_and_a_key_that_is_given_up() {
    let Some(team) = Team::new() else { return };
    let second = team.path("second.key");
    done(&["keys", "new", &second, "--dangerously-no-passphrase"], 0);
    let second_public = format!("{second}.pub");
    let both = ["--trust", &team.public, "--trust", &second_public, "--signatures", "2"];
    let verify = |trust: &[&str], code| {
        done(&[&["archive", "verify", &team.archive, "--json"], trust].concat(), code)
    };
    assert!(verify(&both, 2).contains("1 of 2 signatures hold"));
    assert!(
        verify(&["--trust", &team.public, "--signatures", "2"], 2).contains("1 keys are trusted")
    );
    let cosign = |code| {
        let fixed = ["archive", "cosign", &team.archive, "--key", &second];
        done(&[&fixed[..], &["--trust", &team.public]].concat(), code)
    };
    // Nobody signs beside others what does not hold.
    let stray = Path::new(&team.archive).join("stray");
    std::fs::write(&stray, "").unwrap();
    assert!(cosign(2).contains("not signed"));
    std::fs::remove_file(&stray).unwrap();
    cosign(0);
    assert_eq!(lines(&verify(&both, 0))[0]["signed_by"].as_array().unwrap().len(), 2);
    let list = format!("{}/archive.json", team.archive);
    if let Some(minisign) = tool("minisign") {
        for entry in std::fs::read_dir(&team.archive).unwrap() {
            let path = entry.unwrap().path().to_str().unwrap().to_owned();
            if !path.ends_with(".minisig") {
                continue;
            }
            let public =
                if path.ends_with("archive.json.minisig") { &team.public } else { &second_public };
            run(&minisign, &["-V", "-p", public, "-m", &list, "-x", &path], b"");
        }
    }

    // The first key is given up; who trusts it opens what the new one signs.
    let new = team.path("new.key");
    done(&["keys", "rotate", &team.key, &new, "--dangerously-no-passphrase"], 0);
    done(&["keys", "rotate", &team.key, &new, "--dangerously-no-passphrase"], 2);
    let new_public = format!("{new}.pub");
    if let Some(minisign) = tool("minisign") {
        run(&minisign, &["-V", "-p", &team.public, "-m", &new_public], b"");
    }
    let sign = || done(&["archive", "sign", &team.archive, "--key", &new], 0);
    sign();
    assert!(verify(&["--trust", &team.public], 2).contains("another key"));
    done(&["archive", "add-key", &team.archive, &second_public], 2);
    assert!(
        done(&["archive", "add-key", &team.archive, &new_public], 0).contains("in the place of")
    );
    sign();
    verify(&["--trust", &team.public], 0);
    verify(&["--trust", &new_public], 0);
    assert!(verify(&["--trust", &second_public], 2).contains("another key"));
    // A published archive takes the succession along.
    let (place, copy) = (team.path("www"), team.path("copy"));
    done(&["archive", "publish", &team.archive, &place, "--trust", &team.public], 0);
    let collect = ["archive", "collect", &place, &copy, "--name", "team", "--trust", &team.public];
    done(&collect, 0);
    done(&["archive", "verify", &copy, "--trust", &team.public], 0);
}
