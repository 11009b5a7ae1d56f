//! `contents.txt`: path, mode, size and SHA-256 of everything inside the image.
//!
//! Three parts, told apart by the first word of the path: `esp:` (what firmware and boot loader
//! read), `initrd:` and `root:`. An examiner can check a stick against it with common tools.

use crate::esp;
use crate::files::sha256;
use crate::initrd::Member;
use crate::sealed::{Node, Tree};

/// The whole list, one line each, sorted within its part.
pub(crate) fn list(files: &[esp::Entry], members: &[Member], root: &Tree) -> String {
    let mut lines = Vec::new();
    for (path, bytes) in files {
        lines.push(line("esp", path, "-", bytes));
    }
    for member in members {
        lines.push(line("initrd", &member.name, &format!("{:04o}", member.mode), &member.bytes));
    }
    for (path, node) in root.nodes() {
        lines.push(match node {
            Node::Folder => format!("{:64} {:>5} {:>10} root:{path}/", "-", "0755", "-"),
            Node::Link { target } => {
                format!("{:64} {:>5} {:>10} root:{path} -> {target}", "-", "-", "-")
            }
            Node::File { mode, bytes } => line("root", path, &format!("{mode:04o}"), bytes),
        });
    }
    lines.sort_by(|a, b| a[82..].cmp(&b[82..]));
    let head = format!("{:64} {:>5} {:>10} path\n", "# sha256", "mode", "bytes");
    head + &lines.join("\n") + "\n"
}

fn line(part: &str, path: &str, mode: &str, bytes: &[u8]) -> String {
    format!("{} {mode:>5} {:>10} {part}:{}", sha256(bytes), bytes.len(), path)
}
