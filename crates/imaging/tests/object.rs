//! Copies in an object store that goes away: they end alone, and say where. An honest store of others judges the rest, in
//! the tests of the program. Vouched for by the bytes of the source.
#![cfg(feature = "bucket")]

use std::io::{BufRead as _, BufReader, Write as _};
use std::net::TcpListener;
use std::num::NonZeroUsize;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::Duration;

use bucket::{Access, Client, Patience};
use imaging::{
    About, Compression, CopyEnd, Destination, Error, FileSource, Format, Medium, ObjectCopy,
    ObjectPlace, ReadBack, Request, Session, Work,
};
use serde_json::{Value, json};

/// A store that has begun an upload and is never seen again.
fn gone() -> Client {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let port = listener.local_addr().expect("an address").port();
    std::thread::spawn(move || {
        let begun = "<R><UploadId>U</UploadId></R>";
        for (status, body) in [("404 Not Found", ""), ("200 OK", begun)] {
            let (stream, _) = listener.accept().expect("a request");
            let mut reader = BufReader::new(stream);
            let mut line = String::from(" ");
            while !line.trim_end_matches(['\r', '\n']).is_empty() {
                line.clear();
                reader.read_line(&mut line).expect("a line");
            }
            let length = body.len();
            let head = format!("HTTP/1.1 {status}\r\nContent-Length: {length}\r\n");
            let answer = format!("{head}Connection: close\r\n\r\n{body}");
            reader.get_mut().write_all(answer.as_bytes()).expect("an answer");
        }
    });
    let access = Access::from_file_text(&format!(
        "aws_access_key_id = A\naws_secret_access_key = B\nendpoint_url = http://127.0.0.1:{port}\n"
    ));
    let patience = Patience { attempts: 2, first_wait: Duration::from_millis(1) };
    let stop = Arc::new(AtomicBool::new(false));
    Client::new(access.expect("access"), None, Arc::new(|| 0), patience, stop).expect("a client")
}

#[test]
fn a_store_that_is_gone_harms_no_other_copy() {
    let folder = tempfile::tempdir().expect("a folder");
    let bytes = vec![7; (20 << 20) + 512];
    let path = folder.path().join("disk");
    std::fs::write(&path, &bytes).expect("a source");
    let source = FileSource::new(std::fs::File::open(&path).expect("the source"), 512).unwrap();
    let medium = Medium { size_bytes: bytes.len() as u64, sector_bytes: 512, chunk_bytes: 1 << 20 };
    let request = Request {
        format: Format::Raw,
        folder: folder.path().to_path_buf(),
        stem: "image".to_owned(),
        split_bytes: None,
        compression: Compression::Fast,
        about: About::default(),
    };
    let remote = request.clone();
    let work = Work {
        requests: vec![request],
        medium,
        algorithms: Vec::new(),
        retries: 0,
        skip_slow_seconds: None,
        read_timeout_seconds: None,
        checkpoint_bytes: 64 << 20,
        piece_bytes: None,
        source: Value::Null,
        others: vec![json!("the store")],
    };
    let aside = folder.path().join("store");
    let mut open = |_: &Value, medium: &Medium, state: Option<&Value>| -> Result<_, Error> {
        let (bucket, prefix) = ("cases".to_owned(), "disk".to_owned());
        let (request, aside) = (remote.clone(), aside.clone());
        let place = ObjectPlace { bucket, prefix, request, aside };
        let client = Arc::new(gone());
        Ok(Box::new(ObjectCopy::open(client, place, medium, state)?) as Box<dyn Destination>)
    };
    let journal = folder.path().join("journal");
    let session = Session::begin_with(&journal, work, NonZeroUsize::MIN, &mut open).expect("begun");
    let cancel = AtomicBool::new(false);
    let outcome = session.run(&source, ReadBack::Each, &mut |_| {}, &cancel).expect("an outcome");
    assert!(matches!(outcome.copies[0].end, CopyEnd::Verified));
    assert!(std::fs::read(folder.path().join("image.raw")).expect("the copy") == bytes);
    let CopyEnd::Failed(error) = &outcome.copies[1].end else { panic!("{:?}", outcome.copies[1]) };
    assert!(error.to_string().contains("s3://cases/disk/image.raw"), "{error}");
}
