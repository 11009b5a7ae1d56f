//! What a store may answer: errors that pass, connections that break, ranges that are none, lists without end.
//!
//! The store here is a script of answers, so that each can be as wrong as we like; that an honest store of others is
//! understood is for `object_store` of the program. Vouched for by the script: only us.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::TcpListener;
use std::ops::ControlFlow;
use std::sync::atomic::AtomicBool;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bucket::{Access, Client, Error, Object, Patience, Upload};

/// Answers in order, each on a connection of its own; what was asked.
fn store(answers: Vec<Vec<u8>>) -> (Client, Arc<Mutex<Vec<String>>>) {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let port = listener.local_addr().expect("an address").port();
    let asked = Arc::<Mutex<Vec<String>>>::default();
    let seen = Arc::clone(&asked);
    std::thread::spawn(move || {
        for answer in answers {
            let Ok((stream, _)) = listener.accept() else { return };
            let mut reader = BufReader::new(stream);
            let (mut first, mut length) = (String::new(), 0_usize);
            loop {
                let mut line = String::new();
                if reader.read_line(&mut line).unwrap_or(0) == 0 || line == "\r\n" {
                    break;
                }
                let small = line.to_ascii_lowercase();
                if let Some(value) = small.strip_prefix("content-length:") {
                    length = value.trim().parse().expect("a length");
                }
                if small.starts_with("range:") {
                    first.push_str(line.trim());
                    first.push(' ');
                }
                if first.is_empty() {
                    first = format!("{} ", line.trim());
                }
            }
            seen.lock().expect("the list").push(first);
            let mut body = vec![0; length];
            let _ = reader.read_exact(&mut body);
            let _ = reader.get_mut().write_all(&answer);
        }
    });
    let text = format!(
        "aws_access_key_id = A\naws_secret_access_key = B\nendpoint_url = http://127.0.0.1:{port}\n"
    );
    let access = Access::from_file_text(&text).expect("access");
    let patience = Patience { attempts: 3, first_wait: Duration::from_millis(1) };
    let stop = Arc::new(AtomicBool::new(false));
    let client = Client::new(access, None, Arc::new(|| 1_369_353_600), patience, stop);
    (client.expect("a client"), asked)
}

fn answer(status: &str, headers: &str, body: &[u8]) -> Vec<u8> {
    let head = format!(
        "HTTP/1.1 {status}\r\nContent-Length: {}\r\nConnection: close\r\n{headers}\r\n",
        body.len()
    );
    [head.as_bytes(), body].concat()
}

fn object() -> Object {
    Object::new("cases", "disk/image.raw").expect("an object")
}

fn read(client: &Client, size_bytes: u64) -> (Result<(), Error>, Vec<u8>) {
    let mut bytes = Vec::new();
    let result = client.read(&object(), size_bytes, &mut |piece| {
        bytes.extend_from_slice(piece);
        ControlFlow::Continue(())
    });
    (result, bytes)
}

#[test]
fn errors_that_pass_are_waited_for_and_others_are_not() {
    let busy = || answer("503 Slow Down", "", b"<Error><Code>SlowDown</Code></Error>");
    let (client, asked) = store(vec![busy(), busy(), answer("200 OK", "", b"")]);
    client.put(&object(), b"x").expect("the third time");
    assert_eq!(asked.lock().unwrap().len(), 3);
    let (client, _) = store(vec![busy(), busy(), busy()]);
    let error = client.put(&object(), b"x").unwrap_err().to_string();
    assert!(error.contains("503 SlowDown"), "{error}");
    let no = answer(
        "403 Forbidden",
        "",
        b"<Error><Code>AccessDenied</Code><Message>\x1b[31mno</Message></Error>",
    );
    let (client, asked) = store(vec![no, answer("200 OK", "", b"")]);
    let error = client.put(&object(), b"x").unwrap_err().to_string();
    assert!(error.contains("403 AccessDenied") && !error.contains('\x1b'), "{error}");
    assert_eq!(asked.lock().unwrap().len(), 1);
    // A redirection is not followed: the signature, and the evidence, are for this store.
    let (client, asked) =
        store(vec![answer("307 Temporary Redirect", "Location: http://127.0.0.1:1/\r\n", b"")]);
    assert!(client.put(&object(), b"x").unwrap_err().to_string().contains("307"));
    assert_eq!(asked.lock().unwrap().len(), 1);
}

#[test]
fn reading_goes_on_behind_what_came() {
    let cut = b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\nConnection: close\r\n\r\n0123".to_vec();
    let rest = answer("206 Partial Content", "", b"456789");
    let (client, asked) = store(vec![cut.clone(), rest]);
    let (result, bytes) = read(&client, 10);
    result.expect("all of it");
    assert_eq!(bytes, b"0123456789");
    assert!(asked.lock().unwrap()[1].contains("bytes=4-"), "{asked:?}");
    // The beginning once more is not the rest.
    let (client, _) = store(vec![cut, answer("200 OK", "", b"0123456789")]);
    assert!(matches!(read(&client, 10).0, Err(Error::BadAnswer { .. })));
    let (client, _) = store(vec![answer("200 OK", "", b"0123456789X")]);
    assert!(matches!(read(&client, 10).0, Err(Error::BadAnswer { .. })));
    // One that never gives a byte comes to an end.
    let empty = || answer("200 OK", "", b"");
    let (client, _) = store(vec![empty(), empty(), empty()]);
    assert!(matches!(read(&client, 10).0, Err(Error::Unreachable { attempts: 3, .. })));
}

#[test]
fn the_list_of_parts_is_believed_only_if_it_is_one() {
    let part = |number: u64| {
        format!(
            "<Part><PartNumber>{number}</PartNumber><Size>5</Size><ETag>\"e{number}\"</ETag></Part>"
        )
    };
    let list = |parts: &str, more: &str| {
        let text = format!("<ListPartsResult>{more}{parts}</ListPartsResult>");
        answer("200 OK", "", text.as_bytes())
    };
    let on = "<IsTruncated>true</IsTruncated><NextPartNumberMarker>1</NextPartNumberMarker>";
    let known = |client: Client| Upload::known(Arc::new(client), object(), "U");
    // Several are sent at once: a gap is nothing wrong.
    let (client, asked) = store(vec![list(&part(1), on), list(&part(3), "")]);
    let parts = known(client).parts().expect("two parts");
    let found: Vec<_> = parts.iter().map(|part| (part.number, part.size_bytes)).collect();
    assert_eq!(found, [(1, 5), (3, 5)]);
    assert!(asked.lock().unwrap()[1].contains("part-number-marker=1&uploadId=U"), "{asked:?}");
    for (answers, why) in [
        (vec![list(&(part(2) + &part(1)), "")], "out of order"),
        (vec![list("<Part></Part>", "")], "nothing in it"),
        (vec![list("", "<IsTruncated>true</IsTruncated>")], "it does not go on"),
        (vec![list("", on); 25], "it does not end"),
        (vec![answer("404 Not Found", "", b"<Error><Code>NoSuchUpload</Code></Error>")], "gone"),
    ] {
        let (client, _) = store(answers);
        assert!(known(client).parts().is_err(), "{why}");
    }
}

#[test]
fn an_error_below_a_good_status_is_an_error() {
    let begun =
        b"<InitiateMultipartUploadResult><UploadId>U</UploadId></InitiateMultipartUploadResult>";
    let absent = || answer("404 Not Found", "", b"");
    let sent = || answer("200 OK", "ETag: \"e\"\r\n", b"");
    let failed = b"<?xml version=\"1.0\"?> <Error><Code>InternalError</Code></Error>";
    let (client, _) =
        store(vec![absent(), answer("200 OK", "", begun), sent(), answer("200 OK", "", failed)]);
    let upload = Upload::begin(Arc::new(client), object()).expect("begun");
    let mut file = tempfile::NamedTempFile::new().expect("a file");
    file.write_all(b"abc").expect("written");
    let etag = upload.send(1, file.path()).expect("sent");
    let error = upload.complete(&[etag]).unwrap_err().to_string();
    assert!(error.contains("InternalError"), "{error}");
    // A name that could steer something is none.
    let odd = b"<R><UploadId>a b</UploadId></R>";
    let (client, _) = store(vec![absent(), answer("200 OK", "", odd)]);
    assert!(Upload::begin(Arc::new(client), object()).is_err());
}

#[test]
fn a_stretch_is_asked_for_with_its_end() {
    let (client, asked) = store(vec![answer("206 Partial Content", "", b"3456")]);
    assert_eq!(client.read_at(&object(), 3..7).expect("four bytes"), b"3456");
    assert!(asked.lock().unwrap()[0].contains("bytes=3-6"), "{asked:?}");
    // A store that gives all of it, or more than was asked for.
    let (client, _) = store(vec![answer("200 OK", "", b"0123456789")]);
    assert!(matches!(client.read_at(&object(), 3..7), Err(Error::BadAnswer { .. })));
    let (client, _) = store(vec![answer("206 Partial Content", "", b"3456789")]);
    assert!(matches!(client.read_at(&object(), 3..7), Err(Error::BadAnswer { .. })));
}
