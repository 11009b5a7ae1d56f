//! `glovebox image --to s3://…`, killed by the store itself at the requests that matter: while parts are sent, before and after
//! an object is made, while it is read back, before and after the proof is written.
//!
//! The store is ours and only as honest as it has to be (moto judges the requests in `object_store`). What it ends up with is
//! vouched for by a comparison of what `glovebox image cat` makes of it with the source, and by `ewfverify` where it is there.
#![cfg(feature = "bucket")]

use std::collections::BTreeMap;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::process::{Child, Command, Output, Stdio};
use std::sync::{Arc, Mutex};

const SIZE: usize = 70 << 20;

/// What a request is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Part,
    Complete,
    Read,
    Proof,
    Other,
}

/// Whether the store does what was asked before the program dies.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Done {
    Before,
    Not,
}

#[derive(Default)]
struct State {
    objects: BTreeMap<String, Vec<u8>>,
    /// Key and parts of each upload.
    uploads: BTreeMap<u64, (String, BTreeMap<u64, Vec<u8>>)>,
    begun: u64,
    /// The program dies at the request of this kind after so many others of it.
    dies_at: Option<(Kind, u32, Done)>,
    child: Option<Child>,
    /// Reading is forbidden after so many times.
    refuses_reads_after: Option<u32>,
}

struct Request {
    method: String,
    key: String,
    query: BTreeMap<String, String>,
    range: Option<(usize, usize)>,
    body: Vec<u8>,
}

impl Request {
    fn read(stream: &mut BufReader<TcpStream>) -> Option<Self> {
        let mut first = String::new();
        stream.read_line(&mut first).ok().filter(|length| *length > 0)?;
        let (mut length, mut range) = (0, None);
        loop {
            let mut line = String::new();
            stream.read_line(&mut line).ok().filter(|length| *length > 0)?;
            let line = line.trim().to_ascii_lowercase();
            if line.is_empty() {
                break;
            }
            if let Some(value) = line.strip_prefix("content-length:") {
                length = value.trim().parse().ok()?;
            }
            if let Some((from, to)) =
                line.strip_prefix("range: bytes=").and_then(|range| range.split_once('-'))
            {
                range = Some((from.parse().ok()?, to.parse().unwrap_or(usize::MAX)));
            }
        }
        let mut body = vec![0; length];
        stream.read_exact(&mut body).ok()?;
        let mut words = first.split(' ');
        let (method, target) = (words.next()?.to_owned(), words.next()?);
        let (path, query) = target.split_once('?').unwrap_or((target, ""));
        let query = query.split('&').filter_map(|one| one.split_once('='));
        let query = query.map(|(name, value)| (name.to_owned(), value.to_owned())).collect();
        let key = path.strip_prefix("/cases/")?.to_owned();
        Some(Self { method, key, query, range, body })
    }

    fn number(&self, name: &str) -> Option<u64> {
        self.query.get(name)?.parse().ok()
    }

    fn kind(&self) -> Kind {
        match self.method.as_str() {
            "PUT" if self.number("partNumber").is_some() => Kind::Part,
            "PUT" => Kind::Proof,
            "POST" if self.number("uploadId").is_some() => Kind::Complete,
            "GET" if self.query.is_empty() => Kind::Read,
            _ => Kind::Other,
        }
    }
}

impl State {
    fn answer(&mut self, request: Request) -> Option<(&'static str, String, Vec<u8>)> {
        let ok = |body: String| Some(("200 OK", String::new(), body.into_bytes()));
        let absent = Some(("404 Not Found", String::new(), Vec::new()));
        let upload = request.number("uploadId");
        match (request.method.as_str(), upload) {
            ("GET", None) if self.refuses_reads_after == Some(0) => {
                Some(("403 Forbidden", String::new(), Vec::new()))
            }
            ("HEAD" | "GET", None) => {
                if let Some(left) = self.refuses_reads_after.as_mut()
                    && request.method == "GET"
                {
                    *left -= 1;
                }
                let Some(object) = self.objects.get(&request.key) else { return absent };
                let Some((from, to)) = request.range else {
                    return Some(("200 OK", String::new(), object.clone()));
                };
                let to = to.saturating_add(1).min(object.len());
                Some(("206 Partial Content", String::new(), object[from..to].to_vec()))
            }
            ("POST", None) => {
                self.begun += 1;
                self.uploads.insert(self.begun, (request.key, BTreeMap::new()));
                ok(format!("<R><UploadId>{}</UploadId></R>", self.begun))
            }
            ("PUT", None) => {
                self.objects.insert(request.key, request.body);
                ok(String::new())
            }
            ("PUT", Some(upload)) => {
                let number = request.number("partNumber")?;
                let Some((_, parts)) = self.uploads.get_mut(&upload) else { return absent };
                parts.insert(number, request.body);
                Some(("200 OK", format!("ETag: \"{number}\"\r\n"), Vec::new()))
            }
            ("GET", Some(upload)) => {
                let Some((_, parts)) = self.uploads.get(&upload) else { return absent };
                let list = parts.iter().map(|(number, bytes)| {
                    format!(
                        "<Part><PartNumber>{number}</PartNumber><Size>{}</Size><ETag>\"{number}\"</ETag></Part>",
                        bytes.len()
                    )
                });
                ok(format!("<R>{}</R>", list.collect::<String>()))
            }
            ("POST", Some(upload)) => {
                let Some((key, parts)) = self.uploads.remove(&upload) else { return absent };
                // Only what is listed becomes part of the object.
                let listed = String::from_utf8(request.body).ok()?.matches("<PartNumber>").count();
                let bytes = parts.into_values().take(listed).collect::<Vec<_>>().concat();
                assert!(self.objects.insert(key, bytes).is_none(), "an object was written over");
                ok("<CompleteMultipartUploadResult>x</CompleteMultipartUploadResult>".to_owned())
            }
            ("DELETE", Some(upload)) => {
                self.uploads.remove(&upload);
                ok(String::new())
            }
            _ => absent,
        }
    }

    /// Kills the program if this is the request to do it at.
    fn dies(&mut self, kind: Kind) -> Option<Done> {
        let (at, left, done) = self.dies_at.as_mut()?;
        if *at != kind {
            return None;
        }
        if *left > 0 {
            *left -= 1;
            return None;
        }
        let done = *done;
        self.dies_at = None;
        let mut child = self.child.take()?;
        child.kill().expect("killing");
        child.wait().expect("waiting");
        Some(done)
    }
}

fn serve(stream: TcpStream, state: &Mutex<State>) {
    let mut stream = BufReader::new(stream);
    while let Some(request) = Request::read(&mut stream) {
        let is_head = request.method == "HEAD";
        let mut state = state.lock().expect("the state");
        let died = state.dies(request.kind());
        if died == Some(Done::Not) {
            return;
        }
        let Some((status, headers, body)) = state.answer(request) else { return };
        drop(state);
        if died.is_some() {
            return;
        }
        let length = body.len();
        let head = format!("HTTP/1.1 {status}\r\nContent-Length: {length}\r\n{headers}\r\n");
        let body = if is_head { Vec::new() } else { body };
        if stream.get_mut().write_all(&[head.into_bytes(), body].concat()).is_err() {
            return;
        }
    }
}

fn program() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_glovebox"));
    command.stdin(Stdio::null());
    command
}

fn said(out: &Output) -> String {
    String::from_utf8_lossy(&[out.stdout.as_slice(), &out.stderr].concat()).into_owned()
}

fn text(path: &Path) -> String {
    path.to_string_lossy().into_owned()
}

#[test]
fn killed_at_any_request_it_goes_on_and_nothing_is_told_that_is_not() {
    let folder = tempfile::tempdir().expect("a folder");
    let at = |name: &str| folder.path().join(name);
    let mut seed = 88_172_645_463_325_252u64;
    let bytes: Vec<u8> = (0..SIZE)
        .map(|_| {
            seed ^= seed << 13;
            seed ^= seed >> 7;
            seed ^= seed << 17;
            seed.to_le_bytes()[0]
        })
        .collect();
    std::fs::write(at("disk.img"), &bytes).expect("a source");
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let port = listener.local_addr().expect("an address").port();
    let keys = format!(
        "aws_access_key_id = A\naws_secret_access_key = B\nendpoint_url = http://127.0.0.1:{port}\n"
    );
    std::fs::write(at("keys"), keys).expect("keys");
    let state = Arc::<Mutex<State>>::default();
    let shared = Arc::clone(&state);
    std::thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            let shared = Arc::clone(&shared);
            std::thread::spawn(move || serve(stream, &shared));
        }
    });
    let place = text(folder.path());
    let create = ["case", "create", "c", "--on", &place, "--examiner", "E", "--no-passphrase"];
    let made = program().args(create).output().expect("starting glovebox");
    assert!(made.status.success(), "{}", said(&made));
    let (case, source, keys) = (text(&at("c")), text(&at("disk.img")), text(&at("keys")));
    let image = ["image", &source, "--case", &case, "--to", "s3://cases", "--store-keys", &keys];
    let image = [&image[..], &["--format", "e01,aff4", "--json"]].concat();
    let resume = ["image", "resume", "1", "--case", &case, "--json", "--store-keys", &keys];
    // Five parts, an object and a proof of each format. The first kill is before any checkpoint.
    for (number, dies_at) in [
        (Kind::Part, 2, Done::Before),
        (Kind::Part, 9, Done::Not),
        (Kind::Complete, 0, Done::Not),
        (Kind::Complete, 0, Done::Before),
        (Kind::Read, 2, Done::Not),
        (Kind::Proof, 0, Done::Before),
        (Kind::Read, 3, Done::Not),
        (Kind::Proof, 0, Done::Not),
    ]
    .into_iter()
    .enumerate()
    {
        let arguments = if number == 0 { &image[..] } else { &resume[..] };
        let mut command = program();
        command.args(arguments).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut locked = state.lock().expect("the state");
        locked.dies_at = Some(dies_at);
        locked.child = Some(command.spawn().expect("starting glovebox"));
        drop(locked);
        let begun = std::time::Instant::now();
        loop {
            std::thread::sleep(std::time::Duration::from_millis(20));
            let mut locked = state.lock().expect("the state");
            let Some(child) = locked.child.as_mut() else { break };
            if child.try_wait().expect("its state").is_some() || begun.elapsed().as_secs() > 300 {
                let mut child = locked.child.take().expect("the program");
                let _ = child.kill();
                let out = child.wait_with_output().expect("waiting");
                panic!("kill {number} at {dies_at:?} did not happen: {}", said(&out));
            }
        }
        // A proof stands beside what it speaks of, and what it speaks of is whole.
        let locked = state.lock().expect("the state");
        for key in locked.objects.keys() {
            let of = key.strip_suffix(".verified.json").unwrap_or(key);
            assert!(locked.objects.contains_key(of), "{key} stands alone");
        }
    }
    let out = program().args(resume).output().expect("starting glovebox");
    assert_eq!(out.status.code(), Some(0), "{}", said(&out));
    let locked = state.lock().expect("the state");
    let names: Vec<_> =
        locked.objects.keys().filter_map(|key| key.split('/').next_back()).collect();
    let expected =
        ["image.E01", "image.E01.verified.json", "image.aff4", "image.aff4.verified.json"];
    assert_eq!(names, expected);
    assert!(locked.uploads.is_empty(), "parts were left behind: {:?}", locked.uploads.keys());
    std::fs::write(at("image.E01"), &locked.objects["001-disk/image.E01"]).expect("the object");
    drop(locked);
    for name in ["image.E01", "image.aff4"] {
        let stored = format!("s3://cases/001-disk/{name}");
        let cat = ["image", "cat", &stored, "--store-keys", &keys];
        let out = program().args(cat).output().expect("starting glovebox");
        assert!(out.status.success() && out.stdout == bytes, "{name}: {:?}", out.stderr);
    }
    // A store that goes away is not a damaged image.
    for verb in ["cat", "verify"] {
        state.lock().expect("the state").refuses_reads_after = Some(4);
        let stored = "s3://cases/001-disk/image.E01";
        let read = ["image", verb, stored, "--store-keys", &keys];
        let out = program().args(read).output().expect("starting glovebox");
        assert_eq!(out.status.code(), Some(2), "{verb}: {}", said(&out).len());
        let error = String::from_utf8_lossy(&out.stderr).into_owned();
        assert!(error.contains("went away"), "{verb}: {error}");
    }
    match Command::new("ewfverify").arg("-q").arg(at("image.E01")).output() {
        Ok(out) => assert!(said(&out).contains("SUCCESS"), "{}", said(&out)),
        Err(_) => println!("skipped: no ewfverify"),
    }
    let kept = std::fs::read_dir(at("c/exhibits/001-disk")).expect("the exhibit").flatten();
    let kept: Vec<_> = kept.map(|entry| entry.file_name()).collect();
    assert!(kept.iter().all(|name| !name.to_string_lossy().starts_with("store-")), "{kept:?}");
    let out = program().args(["case", "verify", "--case", &case]).output().expect("starting");
    assert!(out.status.success(), "{}", said(&out));
}
