//! qcow2: qemu-img and qemu-io make the images; the raw disk, or qemu-img's own view, vouches for the content.

use super::{
    assert_shows, convert, disk, fact, image, published, qemu_io, shown_by_qemu, texts, try_image,
};
use crate::support::{Random, run, text, tool};
use evidence::ProblemKind;
use evidence::container::Format;

#[test]
fn every_subformat_reads_as_the_disk() {
    let disk = disk();
    for options in [
        &["-o", "compat=0.10"][..],
        &["-o", "compat=1.1"],
        &["-c"],
        &["-c", "-o", "compat=0.10"],
        &["-c", "-o", "compression_type=zstd"],
        &["-c", "-o", "cluster_size=2M"],
        &["-o", "cluster_size=512"],
        &["-c", "-o", "cluster_size=512"],
        &["-o", "cluster_size=2M,preallocation=metadata"],
        &["-o", "extended_l2=on,cluster_size=128k"],
        &["-c", "-o", "extended_l2=on,cluster_size=64k"],
        &["-o", "lazy_refcounts=on,refcount_bits=1"],
        &["-S", "0", "-o", "preallocation=full"],
    ] {
        let directory = tempfile::tempdir().unwrap();
        let mut all = vec!["-O", "qcow2"];
        all.extend(options);
        let Some(path) = convert(directory.path(), &disk, &all, "image.qcow2") else { return };
        let opened = image(&path);
        assert_eq!(opened.format, Format::Qcow2);
        assert_eq!(opened.files, ["image.qcow2"]);
        assert_eq!(texts(&opened.problems), "", "{options:?}");
        assert_shows(&opened, &disk, &format!("{options:?}"));
    }
}

#[test]
fn a_data_file_of_its_own_is_read_and_missed() {
    let disk = disk();
    for raw in ["off", "on"] {
        let directory = tempfile::tempdir().unwrap();
        let data = directory.path().join("image.data");
        let options = format!("data_file={},data_file_raw={raw}", text(&data));
        let all = ["-O", "qcow2", "-o", &options];
        let Some(path) = convert(directory.path(), &disk, &all, "image.qcow2") else { return };
        let opened = image(&path);
        assert_eq!(opened.files, ["image.qcow2", "image.data"]);
        assert_shows(&opened, &disk, raw);
        // The image names its data file by a path of its own, of which only the last part counts.
        assert!(texts(&opened.problems).contains("only one called so beside the image"));
        std::fs::remove_file(data).unwrap();
        let opened = image(&path);
        assert!(texts(&opened.problems).contains("is missing"));
        let error = opened.source.bytes_at(0, disk.len()).unwrap_err();
        assert_eq!((error.offset_bytes, error.source.kind()), (0, std::io::ErrorKind::NotFound));
    }
}

#[test]
fn scattered_writes_zeros_and_discards_read_as_qemu_shows_them() {
    let Some(qemu_img) = tool("qemu-img") else { return };
    for options in
        ["cluster_size=64k", "cluster_size=4k", "extended_l2=on,cluster_size=64k", "compat=0.10"]
    {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("image.qcow2");
        run(&qemu_img, &["create", "-q", "-f", "qcow2", "-o", options, text(&path), "40M"], "");
        let mut random = Random(options.len() as u64);
        let mut commands = Vec::new();
        for number in 0..120 {
            let (at, length) = (random.below(80_000) * 512, 512 * (1 + random.below(300)));
            let verb = match random.below(5) {
                0 => "write -z".to_owned(),
                1 => "write -z -u".to_owned(),
                2 => "discard".to_owned(),
                _ => format!("write -P {}", 1 + number % 255),
            };
            commands.push(format!("{verb} {} {length}", at.min((40 << 20) - length)));
        }
        let commands: Vec<&str> = commands.iter().map(String::as_str).collect();
        if !qemu_io(&["-f", "qcow2"], &path, &commands) {
            return;
        }
        assert_shows(&image(&path), &shown_by_qemu(&path), options);
    }
}

#[test]
fn a_chain_of_backing_files_reads_as_qemu_shows_it() {
    let Some(qemu_img) = tool("qemu-img") else { return };
    let directory = tempfile::tempdir().unwrap();
    let disk = disk();
    let base = directory.path().join("base.raw");
    std::fs::write(&base, &disk).unwrap();
    let (middle, top) = (directory.path().join("middle.qcow2"), directory.path().join("top.qcow2"));
    // Each layer is longer than the one below.
    for (path, backing, format, size) in
        [(&middle, "base.raw", "raw", "5M"), (&top, "middle.qcow2", "qcow2", "6M")]
    {
        run(
            &qemu_img,
            &["create", "-q", "-f", "qcow2", "-b", backing, "-F", format, text(path), size],
            "",
        );
    }
    assert!(qemu_io(
        &["-f", "qcow2"],
        &middle,
        &["write -P 1 100k 70k", "write -z 1M 100k", "write -P 2 4900k 50k"]
    ));
    assert!(qemu_io(
        &["-f", "qcow2"],
        &top,
        &["write -P 3 150k 9k", "write -z 2M 64k", "discard 300k 64k", "write -P 4 5500k 1k"]
    ));
    let opened = image(&top);
    assert_eq!(texts(&opened.problems), "");
    assert_eq!(opened.files, ["top.qcow2", "middle.qcow2", "base.raw"]);
    assert_eq!(fact(&opened, "backing file"), Some("middle.qcow2"));
    assert_shows(&opened, &shown_by_qemu(&top), "chain");
    // A base recorded as raw stays raw, whatever it looks like.
    std::fs::write(&base, [b"QFI\xfb".as_slice(), &disk[4..]].concat()).unwrap();
    assert_eq!(image(&top).source.bytes_at(0, 4).unwrap(), b"QFI\xfb");
    // Without the base, what the layers hold is still there, and the rest is unreadable rather than zeros.
    std::fs::remove_file(&base).unwrap();
    let opened = image(&top);
    assert!(texts(&opened.problems).contains("\"base.raw\" that this one builds on is missing"));
    assert_eq!(opened.source.bytes_at(151 << 10, 1024).unwrap(), [3; 1024]);
    assert_eq!(opened.source.bytes_at(0, 512).unwrap_err().offset_bytes, 0);
}

#[test]
fn a_chain_that_bites_its_tail_ends() {
    let Some(qemu_img) = tool("qemu-img") else { return };
    let directory = tempfile::tempdir().unwrap();
    let make = |name: &str, backing: &str| {
        let path = directory.path().join(name);
        let mut all = vec!["create", "-q", "-u", "-f", "qcow2", "-b", backing, "-F", "qcow2"];
        all.extend([text(&path), "1M"]);
        run(&qemu_img, &all, "");
        path
    };
    let path = make("a", "b");
    make("b", "c");
    make("c", "a");
    let opened = image(&path);
    assert!(texts(&opened.problems).contains("\"a\" builds on itself"), "{:?}", opened.problems);
    let first = make("0", "1");
    for number in 1..80 {
        make(&number.to_string(), &(number + 1).to_string());
    }
    let opened = image(&first);
    assert!(texts(&opened.problems).contains("more than 64"), "{:?}", opened.problems);
    assert!(opened.source.bytes_at(0, 512).is_err());
}

#[test]
fn snapshots_and_bits_are_told() {
    let Some(qemu_img) = tool("qemu-img") else { return };
    let directory = tempfile::tempdir().unwrap();
    let disk = disk();
    let Some(path) = convert(directory.path(), &disk, &["-O", "qcow2"], "image.qcow2") else {
        return;
    };
    for name in ["first", "second one"] {
        run(&qemu_img, &["snapshot", "-c", name, text(&path)], "");
    }
    assert!(qemu_io(&["-f", "qcow2"], &path, &["write -P 9 0 100k"]));
    let opened = image(&path);
    let listed: Vec<&str> = opened
        .facts
        .iter()
        .filter(|(name, _)| name == "snapshot")
        .map(|(_, value)| value.as_str())
        .collect();
    assert_eq!(listed.len(), 2);
    assert!(listed[0].starts_with("1 \"first\", taken 20"), "{listed:?}");
    assert!(listed[1].starts_with("2 \"second one\", taken 20"), "{listed:?}");
    assert_shows(&opened, &shown_by_qemu(&path), "with snapshots");
    let mut bytes = std::fs::read(&path).unwrap();
    bytes[79] |= 3;
    std::fs::write(&path, &bytes).unwrap();
    let problems = texts(&image(&path).problems);
    assert!(problems.contains("dirty bit") && problems.contains("marked as corrupt"), "{problems}");
    bytes[79] |= 32;
    std::fs::write(&path, &bytes).unwrap();
    assert_eq!(try_image(&path).unwrap_err().kind(), ProblemKind::Unsupported);
}

#[test]
fn encryption_is_named() {
    let Some(qemu_img) = tool("qemu-img") else { return };
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("image.qcow2");
    let options = "encrypt.format=luks,encrypt.key-secret=s,encrypt.iter-time=10";
    let all = ["create", "-q", "--object", "secret,id=s,data=x", "-f", "qcow2", "-o", options];
    run(&qemu_img, &[&all[..], &[text(&path), "1M"]].concat(), "");
    let error = try_image(&path).unwrap_err();
    assert_eq!(error.to_string(), "qcow2 encrypted with LUKS is not supported");
}

#[test]
fn a_corrupt_compressed_cluster_is_an_error_of_exactly_that_range() {
    for kind in ["zlib", "zstd"] {
        let directory = tempfile::tempdir().unwrap();
        let text = b"Every exhibit is read, never written. ".iter().cycle().take(1 << 20);
        let disk: Vec<u8> = text.zip(Random(3).bytes(1 << 20)).map(|(a, b)| a ^ (b & 3)).collect();
        let options = ["-O", "qcow2", "-c", "-o", &format!("compression_type={kind}")];
        let Some(path) = convert(directory.path(), &disk, &options, "image.qcow2") else { return };
        let mut bytes = std::fs::read(&path).unwrap();
        let be64 =
            |bytes: &[u8], at: usize| u64::from_be_bytes(bytes[at..at + 8].try_into().unwrap());
        let l2 = be64(&bytes, be64(&bytes, 40) as usize) & 0xffff_ffff_fe00;
        let entry = be64(&bytes, l2 as usize + 8 * 5);
        let at = (entry & ((1 << 54) - 1)) as usize;
        bytes[at..at + 200].fill(0xff);
        std::fs::write(&path, bytes).unwrap();
        let source = image(&path).source;
        let error = source.bytes_at(0, disk.len()).unwrap_err();
        assert_eq!((error.offset_bytes, error.length_bytes), (5 << 16, 1 << 16), "{error}");
        assert!(source.bytes_at(6 << 16, 1 << 16).unwrap() == disk[6 << 16..7 << 16]);
    }
}

#[test]
fn a_published_image_agrees_with_its_raw_twin() {
    let (Some(first), Some(part), Some(path)) = (
        published("dfvfs/ext2.splitraw.000"),
        published("dfvfs/ext2.splitraw.001"),
        published("dfvfs/ext2.qcow2"),
    ) else {
        return;
    };
    let disk = [std::fs::read(first).unwrap(), std::fs::read(part).unwrap()].concat();
    assert_shows(&image(&path), &disk, "ext2.qcow2");
}
