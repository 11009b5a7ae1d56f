//! K1: the stick is silent until `net up`, an act of the case; then an image is sent to a receiver on another machine, over a
//! link that breaks on the way. The tools themselves never reach the wire: what they have is what the broker connected.

use crate::stage::Stage;
use libtest_mimic::Trial;
use machine::builder::{MAC, pcap};
use machine::demo::examiners_disk;
use machine::error::{Doing, Error, Result, test};
use machine::guest::{COMMAND_LIMIT, Guest, records};
use machine::process::Owned;
use machine::{Builder, Bus, Disk, Ledger, digest, pcap as capture, process, program};
use serde_json::json;
use std::io::{Read as _, Write as _};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::path::Path;
use std::time::{Duration, Instant};

const NAME: &str = "net/up-is-an-act-and-an-image-is-sent";
/// The host, as QEMU's user network shows it to the guest.
const HOST: &str = "10.0.2.2";

/// The trials of this file.
pub(crate) fn trials(stage: &'static Stage) -> Vec<Trial> {
    vec![stage.trial(NAME, sent)]
}

/// A receiver on the host: its port and its code.
struct Receiver {
    process: Owned,
    port: u64,
    code: String,
    case: std::path::PathBuf,
}

impl Receiver {
    fn start(folder: &Path) -> Result<Self> {
        let glovebox = program::of_the_image("glovebox", "glovebox")?;
        let glovebox = glovebox.to_string_lossy().into_owned();
        let place = folder.join("received");
        std::fs::create_dir_all(&place).doing("creating", &place)?;
        let on = place.to_string_lossy();
        let create = ["case", "create", "far", "--on", &*on, "--examiner", "F", "--no-passphrase"];
        process::run(&glovebox, &create)?;
        let case = place.join("far");
        let log = folder.join("receiver.log");
        let arguments =
            ["receive", "--listen", "127.0.0.1:0", "--json", "--case"].map(str::to_owned);
        let mut arguments = arguments.to_vec();
        arguments.push(case.to_string_lossy().into_owned());
        let process = Owned::start(&glovebox, &arguments, &log)?;
        let end = Instant::now() + Duration::from_secs(30);
        loop {
            let said = std::fs::read_to_string(&log).unwrap_or_default();
            let told = records(&said).unwrap_or_default();
            if let Some(record) = told.iter().find(|record| record["type"] == "receiving") {
                let address = record["address"].as_str().unwrap_or_default();
                let port = address.rsplit(':').next().and_then(|port| port.parse().ok());
                let code = record["code"].as_str().unwrap_or_default().to_owned();
                return Ok(Self { process, port: port.unwrap_or(0), code, case });
            }
            if Instant::now() > end {
                return Err(Error::Machine(format!("the receiver does not listen: {said}")));
            }
            std::thread::sleep(Duration::from_millis(100));
        }
    }
}

/// Stands between guest and receiver, and cuts the first connection after this much.
fn breaking_way(receiver: u64) -> Result<u16> {
    const CUT_BYTES: usize = 24 << 20;
    let failed =
        |problem: std::io::Error| Error::Machine(format!("standing in between: {problem}"));
    let listener = TcpListener::bind("127.0.0.1:0").map_err(failed)?;
    let port = listener.local_addr().map_err(failed)?.port();
    std::thread::spawn(move || {
        for (number, from) in listener.incoming().flatten().enumerate() {
            let Ok(to) = TcpStream::connect(format!("127.0.0.1:{receiver}")) else { continue };
            let limit = if number == 0 { CUT_BYTES } else { usize::MAX };
            for (mut from, mut to) in [(&from, &to), (&to, &from)]
                .into_iter()
                .filter_map(|(one, other)| Some((one.try_clone().ok()?, other.try_clone().ok()?)))
            {
                std::thread::spawn(move || {
                    let (mut buffer, mut left) = (vec![0; 64 << 10], limit);
                    while let Ok(count @ 1..) = from.read(&mut buffer) {
                        if count >= left || to.write_all(&buffer[..count]).is_err() {
                            break;
                        }
                        left -= count;
                    }
                    // Both ends see an end in the middle.
                    let _ = (from.shutdown(Shutdown::Both), to.shutdown(Shutdown::Both));
                });
            }
        }
    });
    Ok(port)
}

fn frames(folder: &Path) -> Result<usize> {
    capture::frames_from(&pcap(folder), MAC)
}

fn sent(stage: &'static Stage, folder: &Path) -> Result<()> {
    let file = folder.join("sent.img");
    let content: Vec<u8> = (0..64_u64 << 17)
        .flat_map(|at| at.wrapping_mul(0x9e37_79b9_7f4a_7c15).to_le_bytes())
        .collect();
    std::fs::write(&file, &content).doing("writing", &file)?;
    let source = Disk::new("sent", file, Bus::Ahci);
    let ledger = Ledger::open(std::slice::from_ref(&source))?;
    let expected = ledger.before(&source.id).unwrap_or_default().to_owned();
    let mut receiver = Receiver::start(folder)?;
    let medium = examiners_disk(&folder.join("examiner.img"), 256 << 20)?;
    let builder = Builder::new(stage.image()?.netboot()?)
        .open_network()
        .disks([source.clone(), Disk::new("examiner", medium, Bus::Usb)]);
    let mut guest = Guest::boot(builder, folder)?;
    let case = crate::bad_input::open_case(&mut guest)?;
    let port = breaking_way(receiver.port)?;
    let address = format!("{HOST}:{port}");
    let name = guest.name_of(&source.serial)?;
    guest.expect(&format!("echo '{}' > /run/session/code", receiver.code), &[0])?;
    let send = format!(
        "glovebox image {name} --case {case} --to receiver:{address} --code-file /run/session/code"
    );
    // Before: an interface is there, nothing is up, nothing is sent, and sending is refused with a way out.
    let listed = guest.json("glovebox net status --json", &[0])?;
    let interface = listed
        .first()
        .and_then(|all| all["interfaces"].as_array()?.first().cloned())
        .unwrap_or_default();
    let (Some(link), Some(false)) = (interface["name"].as_str(), interface["is_up"].as_bool())
    else {
        return test(format!("expected one interface that is down: {listed:?}"));
    };
    let link = link.to_owned();
    let refused = guest.expect(&format!("{send} 2>&1"), &[2])?;
    if !refused.contains("glovebox net up") {
        return test(format!("the refusal names no way out: {refused}"));
    }
    if frames(folder)? != 0 {
        return test("frames were sent before the network was up");
    }
    // Without a case there is no network.
    let up = format!("glovebox net up {link} --address 10.0.2.15/24 --gateway {HOST}");
    guest.expect(&format!("{up} --case /tmp/none 2>&1"), &[2])?;
    guest.expect(&format!("{up} --case {case}"), &[0])?;
    // The tools live in a network of their own, in which there is no such link.
    let own = guest.expect("cat /proc/self/net/dev", &[0])?;
    let all = guest.expect("ls /sys/class/net", &[0])?;
    if own.contains(&link) || !own.contains("lo:") || !all.contains(&link) {
        return test(format!("the shell's own network shows {own}, the kernel has {all}"));
    }
    // The link breaks in the middle, longer than a moment, and comes back.
    let order = json!({ "id": "sent", "bps": 0, "bps_rd": 4 << 20, "bps_wr": 0, "iops": 0, "iops_rd": 0, "iops_wr": 0 });
    guest.machine.qmp("block_set_io_throttle", &order)?;
    let before = guest.machine.counters_of(&source.id)?.rd_bytes;
    let pending = guest.shell.begin(&format!("{send} --json 2>/dev/null"))?;
    let begun = Instant::now();
    while guest.machine.counters_of(&source.id)?.rd_bytes < before + (20 << 20) {
        if begun.elapsed() > Duration::from_secs(120) {
            return test("the imaging did not begin");
        }
        std::thread::sleep(Duration::from_millis(100));
    }
    for (name, up) in [("net0", false), ("net0", true)] {
        guest.machine.qmp("set_link", &json!({ "name": name, "up": up }))?;
        std::thread::sleep(Duration::from_secs(if up { 0 } else { 8 }));
    }
    let out = guest.shell.finish(&pending, COMMAND_LIMIT)?;
    let answer = records(&out.text)?;
    let imaged =
        answer.iter().find(|record| record["type"] == "imaged").cloned().unwrap_or_default();
    stage.report(NAME, &format!("{} {}", out.code, imaged["copies"]))?;
    let all_verified = imaged["copies"]
        .as_array()
        .is_some_and(|all| all.len() == 2 && all.iter().all(|copy| copy["verified"] == true));
    if out.code != 0 || !all_verified || !imaged["digests"].to_string().contains(&expected) {
        return test(format!("the image was not sent whole: {} {}", out.code, out.text));
    }
    if imaged["copies"][1]["elsewhere"]["connections"].as_u64() < Some(2) {
        return test(format!("the connection was cut, and not made again: {}", imaged["copies"]));
    }
    let ended = receiver.process.wait(Duration::from_secs(60))?;
    if !ended.success() {
        return test(format!("the receiver ended with {ended}"));
    }
    // Down again: no frame after it.
    guest.expect(&format!("glovebox net down {link} --case {case}"), &[0])?;
    std::thread::sleep(Duration::from_secs(1));
    let (sent_before, told) =
        (frames(folder)?, guest.expect(&format!("cat {case}/acts.jsonl"), &[0])?);
    guest.expect(&format!("glovebox case verify --case {case} >/dev/null"), &[0, 1])?;
    for verb in ["\"net up\"", "\"net down\""] {
        if !told.contains(verb) {
            return test(format!("the case has no act {verb}"));
        }
    }
    let counters = guest.power_off()?;
    guest.machine.cut()?;
    if frames(folder)? != sent_before || sent_before == 0 {
        return test(format!(
            "{sent_before} frames when the network went down, {} at the end",
            frames(folder)?
        ));
    }
    stage.prove(NAME, ledger, &counters)?;
    // What lies at the receiver is the disk.
    let found = process::run("find", &[&receiver.case.to_string_lossy(), "-name", "image.raw"])?;
    match found.lines().next() {
        Some(image) if digest::of_file(Path::new(image))? == expected => {}
        other => return test(format!("what was received is not the disk: {other:?}")),
    }
    std::fs::remove_dir_all(folder.join("received")).doing("removing", folder)
}
