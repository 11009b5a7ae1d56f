//! Files of binary formats for plants, as small as they can be. Only the formats' descriptions and the readers of
//! `parsers.rs`, which are judged by other programs, vouch for them.

/// The bytes of a kind of file by its name in `techniques.toml`.
pub(crate) fn made(kind: &str) -> Vec<u8> {
    let (kind, word) = kind.split_once(' ').unwrap_or((kind, ""));
    match kind {
        "module" => module(word),
        "program-needing" => elf(&[(1, word)]),
        "program-searching" => elf(&[(1, "libc.so.6"), (29, word)]),
        "ld-cache" => ld_cache("libx.so.1", word),
        "unified-kernel" => pe(&[(".linux", "a kernel of nobody's"), (".cmdline", word)]),
        "logins-with-a-blank" => logins(&[Some(1_700_000_000), None, Some(1_700_000_900)]),
        "logins" => logins(&[Some(1_700_000_000), Some(1_700_009_000)]),
        "last-login" => last_login(1_700_005_000),
        "logins-cut" => [logins(&[Some(1_700_000_000)]), vec![7, 0, 0]].concat(),
        "journal-with-a-hole" => journal(&[1, 2, 3, 7, 8]),
        "containerd" => bolt(&["v1", "default", "containers", "0f"], "spec", &any_spec()),
        "podman" => bolt(&["ctr", "0f"], "config", PODMAN.as_bytes()),
        _ => panic!("{kind} is nothing that can be made"),
    }
}

const PODMAN: &str = r#"{"name":"x","privileged":true,"restart_policy":"always","spec":{"process":{"args":["/opt/x"]},"mounts":[{"destination":"/host","source":"/"}],"linux":{"namespaces":[{"type":"mount"}]}}}"#;

fn any_spec() -> Vec<u8> {
    let spec = br#"{"process":{"args":["/opt/x"],"capabilities":{"bounding":["CAP_SYS_ADMIN"]}},"mounts":[{"source":"/"}],"linux":{"namespaces":[{"type":"mount"}]}}"#;
    let kind = b"types.containerd.io/opencontainers/runtime-spec/1/Spec";
    let mut out = vec![0x0a, kind.len() as u8];
    out.extend(kind);
    out.push(0x12);
    out.extend([(spec.len() & 0x7f) as u8 | 0x80, (spec.len() >> 7) as u8]);
    out.extend(spec);
    out
}

/// An ELF program of 64 bits with one loaded segment and these entries of the dynamic section.
fn elf(entries: &[(u64, &str)]) -> Vec<u8> {
    let mut strings = vec![0_u8];
    let mut dynamic = Vec::new();
    for (tag, text) in entries {
        dynamic.extend([tag.to_le_bytes(), (strings.len() as u64).to_le_bytes()].concat());
        strings.extend(text.as_bytes());
        strings.push(0);
    }
    let (dynamic_at, base) = (64 + 2 * 56, 0x40_0000_u64);
    let strings_at = dynamic_at + dynamic.len() as u64 + 48;
    for (tag, value) in [(5, base + strings_at), (10, strings.len() as u64), (0, 0)] {
        dynamic.extend([u64::to_le_bytes(tag), value.to_le_bytes()].concat());
    }
    let whole = strings_at + strings.len() as u64;
    let mut out = b"\x7fELF\x02\x01\x01".to_vec();
    out.resize(16, 0);
    out.extend([3_u16.to_le_bytes(), 62_u16.to_le_bytes()].concat());
    out.extend(1_u32.to_le_bytes());
    out.extend([0_u64, 64, 0].map(u64::to_le_bytes).concat());
    out.extend(0_u32.to_le_bytes());
    out.extend([64_u16, 56, 2, 64, 0, 0].map(u16::to_le_bytes).concat());
    for (kind, at, size) in [(1_u32, 0, whole), (2, dynamic_at, dynamic.len() as u64)] {
        out.extend([kind.to_le_bytes(), 4_u32.to_le_bytes()].concat());
        out.extend([at, base + at, base + at, size, size, 4096].map(u64::to_le_bytes).concat());
    }
    out.extend(dynamic);
    out.extend(strings);
    out
}

/// A kernel module with a section `.modinfo` and no signature.
fn module(name: &str) -> Vec<u8> {
    let info = format!("name={name}\0vermagic=6.0.0-else SMP \0author=nobody\0");
    let names = b"\0.modinfo\0.shstrtab\0";
    let (info_at, names_at) = (64, 64 + info.len() as u64);
    let table = (names_at + names.len() as u64).next_multiple_of(8);
    let mut out = b"\x7fELF\x02\x01\x01".to_vec();
    out.resize(16, 0);
    out.extend([1_u16.to_le_bytes(), 62_u16.to_le_bytes()].concat());
    out.extend(1_u32.to_le_bytes());
    out.extend([0_u64, 0, table].map(u64::to_le_bytes).concat());
    out.extend(0_u32.to_le_bytes());
    out.extend([64_u16, 0, 0, 64, 3, 2].map(u16::to_le_bytes).concat());
    out.extend(info.as_bytes());
    out.extend(names);
    out.resize(table as usize, 0);
    let mut row = |name: u32, at: u64, size: u64| {
        out.extend([name.to_le_bytes(), 1_u32.to_le_bytes()].concat());
        out.extend([0, 0, at, size].map(u64::to_le_bytes).concat());
        out.extend([0; 24]);
    };
    row(0, 0, 0);
    row(1, info_at, info.len() as u64);
    row(10, names_at, names.len() as u64);
    out
}

/// A cache of the loader with one name.
fn ld_cache(name: &str, path: &str) -> Vec<u8> {
    let strings = [name.as_bytes(), b"\0", path.as_bytes(), b"\0"].concat();
    let mut out = b"glibc-ld.so.cache1.1".to_vec();
    out.extend([1_u32, strings.len() as u32, 2, 0, 0, 0, 0].map(u32::to_le_bytes).concat());
    let at = 48 + 24;
    out.extend([0x303, at, at + name.len() as u32 + 1, 0, 0, 0].map(u32::to_le_bytes).concat());
    out.extend(strings);
    out
}

/// A PE file with these sections.
fn pe(sections: &[(&str, &str)]) -> Vec<u8> {
    let mut out = b"MZ".to_vec();
    out.resize(60, 0);
    out.extend(64_u32.to_le_bytes());
    out.extend(b"PE\0\0");
    out.extend([0x8664, sections.len() as u16].map(u16::to_le_bytes).concat());
    out.extend([0; 12]);
    out.extend([0_u16, 0].map(u16::to_le_bytes).concat());
    let mut at = 512_u32;
    for (name, content) in sections {
        let mut row = name.as_bytes().to_vec();
        row.resize(8, 0);
        row.extend([content.len() as u32, at, 512, at].map(u32::to_le_bytes).concat());
        row.resize(40, 0);
        out.extend(row);
        at += 512;
    }
    for (_, content) in sections {
        out.resize(out.len().next_multiple_of(512), 0);
        out.extend(content.as_bytes());
    }
    out.resize(out.len().next_multiple_of(512), 0);
    out
}

/// Records of logins at these times; `None` is one of zeros.
fn logins(times: &[Option<u32>]) -> Vec<u8> {
    let mut out = Vec::new();
    for time in times {
        let mut row = vec![0_u8; 384];
        if let Some(seconds) = time {
            row[0] = 7;
            row[4..8].copy_from_slice(&1234_u32.to_le_bytes());
            row[8..13].copy_from_slice(b"pts/0");
            row[44..48].copy_from_slice(b"root");
            row[340..344].copy_from_slice(&seconds.to_le_bytes());
        }
        out.extend(row);
    }
    out
}

/// `lastlog` with a login of the account with uid 0.
fn last_login(seconds: u32) -> Vec<u8> {
    let mut out = seconds.to_le_bytes().to_vec();
    out.extend(b"pts/1");
    out.resize(292, 0);
    out
}

/// A journal with nothing but entries of these numbers.
fn journal(numbers: &[u64]) -> Vec<u8> {
    let (header, entry) = (272_u64, 64_u64);
    let tail = header + entry * (numbers.len() as u64 - 1);
    let mut out = b"LPKSHHRH".to_vec();
    out.resize(72, 0);
    out.extend([9; 16]);
    out.extend([header, entry * numbers.len() as u64, 0, 0, 0, 0].map(u64::to_le_bytes).concat());
    let count = numbers.len() as u64;
    let (first, last) = (numbers[0], numbers[numbers.len() - 1]);
    out.extend([tail, count, count, last, first].map(u64::to_le_bytes).concat());
    out.resize(header as usize, 0);
    for number in numbers {
        out.extend([3, 0, 0, 0, 0, 0, 0, 0]);
        let time = 1_700_000_000_000_000 + number * 1_000_000;
        out.extend([entry, *number, time, 0].map(u64::to_le_bytes).concat());
        out.extend([5; 24]);
    }
    out
}

/// A bbolt file with one pair in buckets inside each other, the inner ones inside their values.
fn bolt(path: &[&str], key: &str, value: &[u8]) -> Vec<u8> {
    let leaf = |number: u64, flags: u32, key: &str, value: &[u8]| {
        let mut page = number.to_le_bytes().to_vec();
        page.extend([2_u16, 1].map(u16::to_le_bytes).concat());
        page.extend(0_u32.to_le_bytes());
        let sizes = [flags, 16, key.len() as u32, value.len() as u32];
        page.extend(sizes.map(u32::to_le_bytes).concat());
        page.extend(key.as_bytes());
        page.extend(value);
        page
    };
    let mut inner = leaf(0, 0, key, value);
    for name in path.iter().skip(1).rev() {
        inner = leaf(0, 1, name, &[vec![0; 16], inner].concat());
    }
    let root = leaf(3, 1, path[0], &[vec![0; 16], inner].concat());
    let mut out = Vec::new();
    for number in 0..2_u64 {
        let mut page = number.to_le_bytes().to_vec();
        page.extend([4_u16, 0].map(u16::to_le_bytes).concat());
        page.extend(0_u32.to_le_bytes());
        let mut meta = [0xed0c_daed_u32, 2, 4096, 0].map(u32::to_le_bytes).concat();
        meta.extend([3, 0, 2, 4, number].map(u64::to_le_bytes).concat());
        let sum = meta.iter().fold(0xcbf2_9ce4_8422_2325_u64, |sum, byte| {
            (sum ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3)
        });
        meta.extend(sum.to_le_bytes());
        page.extend(meta);
        page.resize(4096, 0);
        out.extend(page);
    }
    out.resize(3 * 4096, 0);
    out.extend(root);
    out.resize(4 * 4096, 0);
    out
}
