//! Both ends over a loopback network that cuts, changes, repeats and reorders.
//!
//! Who vouches: the digest of what lies in the receiver's folder is computed here from the file itself, by another way
//! than either end did; that the channel is the Noise protocol is judged in `src/crypto.rs` by published vectors.

mod support;

use std::fs;
use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::ops::ControlFlow;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use sha2::{Digest as _, Sha256};
use support::{AtWork, Fault, content, folder, hello, limits, network, receive};
use wire::{Error, ErrorKind, Hello, Limits, PairingCode, Sender, Start};

fn sha256(bytes: &[u8]) -> [u8; 32] {
    Sha256::digest(bytes).into()
}

fn connect(
    to: std::net::SocketAddr,
    code: &PairingCode,
    hello: &Hello,
    limits: Limits,
) -> Result<Sender, Error> {
    let stop = Arc::new(AtomicBool::new(false));
    Sender::connect(&to.to_string(), code.clone(), hello.clone(), limits, stop)
}

fn start(bytes: &[u8]) -> Start {
    Start { name: "image.raw".to_owned(), size_bytes: Some(bytes.len() as u64), offset_bytes: 0 }
}

/// Sends everything; gives the receipt.
fn send(sender: &mut Sender, bytes: &[u8]) -> Result<String, Error> {
    sender.begin(start(bytes))?;
    for chunk in bytes.chunks(100_000) {
        sender.write(chunk)?;
    }
    let sent = sender.end(&mut |_done| ControlFlow::Continue(()))?;
    assert_eq!(sent.sha256, sha256(bytes));
    assert_eq!(sent.size_bytes, bytes.len() as u64);
    sender.publish(sha256(bytes))?;
    sender.finish()
}

fn names(folder: &Path) -> Vec<String> {
    let mut names: Vec<String> = fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort();
    names
}

#[test]
fn a_file_arrives_and_both_ends_know_the_same_of_it() {
    let (folder, code, bytes) = (folder(), PairingCode::generate().unwrap(), content(3_000_001, 1));
    let receiver = receive(folder.path().to_owned(), &code, limits());
    let mut sender = connect(receiver.address, &code, &hello(), limits()).unwrap();
    assert_eq!(send(&mut sender, &bytes).unwrap(), "receipt for 1 files");
    assert_eq!(sender.receiver(), "shelf");
    assert_eq!(sender.connections(), 1);
    let told = receiver.told.lock().unwrap().clone();
    assert!(told.iter().any(
        |told| matches!(told, wire::Told::Connected { fingerprint, .. } if *fingerprint == sender.fingerprint())
    ));
    let files = receiver.end().unwrap();
    assert_eq!(files.len(), 1);
    assert_eq!(files[0].size_bytes, Some(3_000_001));
    assert_eq!(names(folder.path()), ["image.raw"]);
    assert!(fs::read(folder.path().join("image.raw")).unwrap() == bytes);
}

#[test]
fn several_files_and_empty_ones_go_in_one_transfer() {
    let (folder, code) = (folder(), PairingCode::generate().unwrap());
    let receiver = receive(folder.path().to_owned(), &code, limits());
    let mut sender = connect(receiver.address, &code, &hello(), limits()).unwrap();
    for (name, length) in [("a", 0), ("b.txt", 1), ("c", 700_000)] {
        let bytes = content(length, 9);
        // A stream: its size is not known before its end.
        sender.begin(Start { name: name.to_owned(), size_bytes: None, offset_bytes: 0 }).unwrap();
        sender.write(&bytes).unwrap();
        let sent = sender.end(&mut |_done| ControlFlow::Continue(())).unwrap();
        assert_eq!(sent.sha256, sha256(&bytes));
        sender.publish(sent.sha256).unwrap();
    }
    sender.finish().unwrap();
    assert_eq!(receiver.end().unwrap().len(), 3);
    assert_eq!(names(folder.path()), ["a", "b.txt", "c"]);
}

#[test]
fn a_connection_cut_anywhere_goes_on_where_the_receiver_stands() {
    let code = PairingCode::generate().unwrap();
    let bytes = content(500_000, 2);
    let mut again = 0;
    for round in 0..24u64 {
        let folder = folder();
        let receiver = receive(folder.path().to_owned(), &code, limits());
        // Two cuts a round: in the handshake, the greeting, the data, or behind all of it.
        let seed = content(16, round + 100);
        let place = |at: usize| {
            let number = u64::from_le_bytes(seed[at..at + 8].try_into().unwrap());
            (number % 505_000) as usize
        };
        let first = if round % 6 == 0 { 60 + round as usize } else { place(0).max(200) };
        let (between, connections) =
            network(receiver.address, vec![Fault::Cut(first), Fault::Cut(place(8).max(200))]);
        let hello = hello();
        // The first connection of all is not tried again: a wrong address is to be said at once.
        let sender = connect(between, &code, &hello, limits());
        let mut sender = match sender {
            Ok(sender) => sender,
            Err(error) => {
                assert!(error.is_passing(), "{error}");
                connect(between, &code, &hello, limits())
                    .or_else(|_| connect(between, &code, &hello, limits()))
                    .unwrap()
            }
        };
        send(&mut sender, &bytes)
            .unwrap_or_else(|error| panic!("round {round}, cut at {first}: {error}"));
        again += connections.load(Ordering::SeqCst) - 1;
        receiver.end().unwrap();
        assert_eq!(names(folder.path()), ["image.raw"], "round {round}");
        assert!(fs::read(folder.path().join("image.raw")).unwrap() == bytes, "round {round}");
    }
    assert!(again >= 24, "the cuts did not cut: {again} further connections");
}

#[test]
fn what_is_changed_on_its_way_is_refused_and_sent_again() {
    let code = PairingCode::generate().unwrap();
    let bytes = content(400_000, 3);
    for at in [300usize, 65_000, 399_000] {
        for fault in [
            Fault::Flip(at),
            Fault::Drop(at),
            Fault::Repeat(at),
            Fault::Swap(at / 65_000),
            Fault::Replay(at / 65_000),
        ] {
            let folder = folder();
            let receiver = receive(
                folder.path().to_owned(),
                &code,
                Limits { silence: Duration::from_secs(1), ..limits() },
            );
            let (between, connections) = network(receiver.address, vec![fault]);
            let quick = Limits { silence: Duration::from_secs(1), ..limits() };
            let hello = hello();
            let mut sender = connect(between, &code, &hello, quick)
                .or_else(|_| connect(between, &code, &hello, quick))
                .unwrap();
            send(&mut sender, &bytes).unwrap_or_else(|error| panic!("{fault:?}: {error}"));
            assert!(connections.load(Ordering::SeqCst) > 1, "{fault:?} was not noticed");
            receiver.end().unwrap();
            assert!(fs::read(folder.path().join("image.raw")).unwrap() == bytes, "{fault:?}");
        }
    }
}

#[test]
fn a_network_that_always_changes_something_ends_in_an_error_and_no_file() {
    let (folder, code) = (folder(), PairingCode::generate().unwrap());
    let receiver = receive(folder.path().to_owned(), &code, limits());
    let (between, _) = network(receiver.address, vec![Fault::Flip(150_000); 1000]);
    let impatient = Limits {
        patience: Duration::from_millis(700),
        silence: Duration::from_secs(1),
        ..limits()
    };
    let mut sender = connect(between, &code, &hello(), impatient).unwrap();
    // Each connection brings the file a little further: flipped bytes cost time, never truth.
    let result = send(&mut sender, &content(6_000_000, 4));
    drop(sender);
    if result.is_err() {
        receiver.stop();
        assert!(!folder.path().join("image.raw").exists());
    }
}

#[test]
fn another_code_opens_nothing() {
    let (folder, code) = (folder(), PairingCode::generate().unwrap());
    let receiver = receive(folder.path().to_owned(), &code, limits());
    let other = PairingCode::generate().unwrap();
    let error = connect(receiver.address, &other, &hello(), limits()).err().unwrap();
    // The receiver says nothing to whom it does not know: not even that the code is wrong.
    assert!(matches!(error, Error::OtherCode | Error::Closed | Error::Io { .. }), "{error}");
    // The right one still comes in, and then no second transfer does.
    let mut sender = connect(receiver.address, &code, &hello(), limits()).unwrap();
    let error = connect(receiver.address, &code, &hello(), limits()).err().unwrap();
    assert_eq!(error.kind(), ErrorKind::Refused);
    assert!(error.to_string().contains("in use"), "{error}");
    send(&mut sender, b"evidence").unwrap();
    receiver.end().unwrap();
    assert_eq!(names(folder.path()), ["image.raw"]);
}

#[test]
fn strangers_who_say_little_or_nonsense_hold_nobody_up() {
    let (folder, code) = (folder(), PairingCode::generate().unwrap());
    let receiver = receive(folder.path().to_owned(), &code, limits());
    // Twice as many as may be at the door; each would trickle for as long as it is let.
    let mut slow: Vec<TcpStream> =
        (0..8).map(|_| TcpStream::connect(receiver.address).unwrap()).collect();
    for stranger in &mut slow {
        let _ = stranger.write_all(b"G");
    }
    let mut noisy = TcpStream::connect(receiver.address).unwrap();
    let _ = noisy.write_all(&content(200_000, 5));
    let begun = Instant::now();
    let bytes = content(500_000, 6);
    let hello = hello();
    let mut sender = loop {
        match connect(receiver.address, &code, &hello, limits()) {
            Ok(sender) => break sender,
            Err(_) => {
                for stranger in &mut slow {
                    let _ = stranger.write_all(b"E");
                }
                std::thread::sleep(Duration::from_millis(100));
            }
        }
        assert!(begun.elapsed() < Duration::from_secs(10), "held up for {:?}", begun.elapsed());
    };
    send(&mut sender, &bytes).unwrap();
    receiver.end().unwrap();
    // Every stranger was shown the door.
    for mut stranger in slow {
        stranger.set_read_timeout(Some(Duration::from_secs(3))).unwrap();
        assert!(matches!(stranger.read(&mut [0; 8]), Ok(0) | Err(_)));
    }
}

#[test]
fn a_recorded_handshake_cannot_be_played_again() {
    let (folder, code) = (folder(), PairingCode::generate().unwrap());
    let receiver = receive(folder.path().to_owned(), &code, limits());
    // In between, everything the sender said is written down.
    let record = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let between = record.local_addr().unwrap();
    let to = receiver.address;
    let recorder = std::thread::spawn(move || {
        let (mut client, _) = record.accept().unwrap();
        let mut server = TcpStream::connect(to).unwrap();
        let (mut back, mut out) = (server.try_clone().unwrap(), client.try_clone().unwrap());
        std::thread::spawn(move || std::io::copy(&mut back, &mut out));
        let (mut said, mut piece) = (Vec::new(), [0; 4096]);
        while let Ok(length @ 1..) = client.read(&mut piece) {
            said.extend(&piece[..length]);
            server.write_all(&piece[..length]).unwrap();
        }
        said
    });
    let hello = hello();
    let mut sender = connect(between, &code, &hello, limits()).unwrap();
    sender.begin(start(b"evidence")).unwrap();
    sender.write(b"evidence").unwrap();
    sender.keep().unwrap();
    drop(sender);
    let said = recorder.join().unwrap();
    let mut replay = TcpStream::connect(to).unwrap();
    replay.write_all(&said).unwrap();
    replay.set_read_timeout(Some(Duration::from_secs(4))).unwrap();
    let mut heard = Vec::new();
    let _ = replay.read_to_end(&mut heard);
    // Its own half of the handshake at most; then the recorded greeting does not open.
    assert!(heard.len() <= 48, "{} bytes were answered", heard.len());
    assert_eq!(names(folder.path()), ["image.raw.partial", "receive.state"]);
    let mut sender = connect(to, &code, &hello, limits()).unwrap();
    send(&mut sender, b"evidence").unwrap();
    receiver.end().unwrap();
}

#[test]
fn a_receiver_that_was_killed_goes_on_from_its_medium() {
    let (folder, code, bytes) = (folder(), PairingCode::generate().unwrap(), content(2_000_000, 7));
    let hello = hello();
    let receiver = receive(folder.path().to_owned(), &code, limits());
    let mut sender = connect(receiver.address, &code, &hello, limits()).unwrap();
    sender.begin(start(&bytes)).unwrap();
    sender.write(&bytes[..800_000]).unwrap();
    assert_eq!(sender.keep().unwrap(), 800_000);
    sender.write(&bytes[800_000..900_000]).unwrap();
    drop(sender);
    receiver.stop();
    // The tail was never flushed: a power cut may have left anything there.
    let partial = folder.path().join("image.raw.partial");
    let mut torn = fs::read(&partial).unwrap();
    torn.truncate(800_000);
    torn.extend([0; 5000]);
    fs::write(&partial, &torn).unwrap();
    // Another run, another code, the same transfer; the sender too begins where its own journal stands.
    let code = PairingCode::generate().unwrap();
    let receiver = receive(folder.path().to_owned(), &code, limits());
    let mut sender = connect(receiver.address, &code, &hello, limits()).unwrap();
    sender.begin(Start { offset_bytes: 700_000, ..start(&bytes) }).unwrap();
    sender.write(&bytes[700_000..]).unwrap();
    let sent = sender.end(&mut |_done| ControlFlow::Continue(())).unwrap();
    assert_eq!(sent.sha256, sha256(&bytes));
    sender.publish(sent.sha256).unwrap();
    sender.finish().unwrap();
    receiver.end().unwrap();
    assert!(fs::read(folder.path().join("image.raw")).unwrap() == bytes);
}

#[test]
fn what_was_safe_and_is_gone_is_said() {
    let (folder, code, bytes) = (folder(), PairingCode::generate().unwrap(), content(500_000, 8));
    let hello = hello();
    let receiver = receive(folder.path().to_owned(), &code, limits());
    let mut sender = connect(receiver.address, &code, &hello, limits()).unwrap();
    sender.begin(start(&bytes)).unwrap();
    sender.write(&bytes[..400_000]).unwrap();
    sender.keep().unwrap();
    drop(sender);
    receiver.stop();
    fs::File::options()
        .write(true)
        .open(folder.path().join("image.raw.partial"))
        .unwrap()
        .set_len(10)
        .unwrap();
    let receiver = receive(folder.path().to_owned(), &code, limits());
    let mut sender = connect(receiver.address, &code, &hello, limits()).unwrap();
    let error = sender.begin(Start { offset_bytes: 400_000, ..start(&bytes) }).unwrap_err();
    assert!(error.to_string().contains("10 bytes"), "{error}");
    drop(sender);
    receiver.stop();
}

#[test]
fn a_digest_the_sender_does_not_agree_with_gives_no_name() {
    let (folder, code) = (folder(), PairingCode::generate().unwrap());
    let receiver = receive(folder.path().to_owned(), &code, limits());
    let mut sender = connect(receiver.address, &code, &hello(), limits()).unwrap();
    sender.begin(start(b"evidence")).unwrap();
    sender.write(b"evidence").unwrap();
    sender.end(&mut |_done| ControlFlow::Continue(())).unwrap();
    let error = sender.publish(sha256(b"evidenze")).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Refused, "{error}");
    assert!(sender.finish().is_err());
    drop(sender);
    receiver.stop();
    assert_eq!(names(folder.path()), ["image.raw.partial", "receive.state"]);
}

#[test]
fn what_a_sender_may_not_do_is_refused() {
    let code = PairingCode::generate().unwrap();
    let try_it = |prepare: &dyn Fn(&Path), work: &dyn Fn(&mut Sender) -> Result<(), Error>| {
        let folder = folder();
        prepare(folder.path());
        let receiver = receive(folder.path().to_owned(), &code, limits());
        let quick = Limits { patience: Duration::from_millis(300), ..limits() };
        let mut sender = connect(receiver.address, &code, &hello(), quick).unwrap();
        let error = work(&mut sender).unwrap_err();
        drop(sender);
        receiver.stop();
        (error, names(folder.path()))
    };
    let named = |name: &'static str| {
        move |sender: &mut Sender| {
            sender.begin(Start { name: name.to_owned(), size_bytes: None, offset_bytes: 0 })
        }
    };
    for name in ["../out", "a/b", "", ".x", "x.partial", "receive.state", "a\u{202e}b"] {
        let (error, found) = try_it(&|_| (), &named(name));
        assert!(!matches!(error, Error::OtherCode), "{name:?}: {error}");
        assert_eq!(found, ["receive.state"], "{name:?}");
    }
    // Never over a file that is there.
    let (error, found) =
        try_it(&|folder| fs::write(folder.join("image.raw"), "old").unwrap(), &named("image.raw"));
    assert!(error.to_string().contains("already"), "{error}");
    assert_eq!(found, ["image.raw", "receive.state"]);
    // Not more than was announced, not more than there is room for, not more files than allowed.
    let (_, found) = try_it(&|_| (), &|sender| {
        sender.begin(Start { name: "a".into(), size_bytes: Some(3), offset_bytes: 0 })?;
        sender.write(b"four")?;
        sender.keep().map(drop)
    });
    assert!(!found.contains(&"a".to_owned()));
    let (error, _) = try_it(&|_| (), &|sender| {
        sender.begin(Start { name: "a".into(), size_bytes: Some(1 << 60), offset_bytes: 0 })
    });
    assert!(error.to_string().contains("free"), "{error}");
    let (error, _) = try_it(&|_| (), &|sender| {
        (0..9).try_for_each(|number| {
            sender.begin(Start { name: format!("f{number}"), size_bytes: None, offset_bytes: 0 })
        })
    });
    assert!(error.to_string().contains("too many"), "{error}");
}

#[test]
fn a_sender_that_did_not_hear_the_last_word_hears_it_again() {
    let (folder, code) = (folder(), PairingCode::generate().unwrap());
    let receiver: AtWork = receive(
        folder.path().to_owned(),
        &code,
        Limits { grace: Duration::from_secs(4), ..limits() },
    );
    // Before the receipt 179 bytes are answered: the handshake, who receives, from where on, what was read back, the name.
    let hello = hello();
    let (between, connections) = network(receiver.address, vec![Fault::CutAnswers(190)]);
    let mut sender = connect(between, &code, &hello, limits()).unwrap();
    send(&mut sender, b"evidence").unwrap();
    assert!(connections.load(Ordering::SeqCst) >= 2);
    receiver.end().unwrap();
    assert_eq!(names(folder.path()), ["image.raw"]);
}
