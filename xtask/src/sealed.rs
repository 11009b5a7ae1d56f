//! The sealed root: a read-only EROFS image of our programs, the kernel's modules and a few files.
//!
//! Staged as a folder with exact modes, then packed by the pinned `mkfs.erofs` with every source of
//! chance (time, owner, UUID, threads) fixed.

use std::collections::BTreeMap;
use std::path::Path;

use anyhow::{Context, Result, ensure};
use xshell::Shell;

use crate::config::Image;
use crate::debs::Debs;
use crate::files;
use crate::identity::{self, Contents};
use crate::modules::{self, Selection, Tables};
use crate::own::Programs;
use crate::userland::Built;

/// What stands at one path of the sealed root.
pub(crate) enum Node {
    Folder,
    File { mode: u32, bytes: Vec<u8> },
    Link { target: String },
}

/// The sealed root before packing, by absolute path.
pub(crate) struct Tree(BTreeMap<String, Node>);

impl Tree {
    /// Puts together everything but the identity.
    pub(crate) fn assemble(
        image: &Image,
        image_folder: &Path,
        programs: &Programs,
        userland: &[Built],
    ) -> Result<Self> {
        let mut tree = Self(BTreeMap::new());
        for directory in &image.directory {
            tree.put(&directory.path, Node::Folder)?;
        }
        for (path, bytes) in &programs.sealed {
            tree.file(path, 0o755, bytes.clone())?;
        }
        for program in userland {
            tree.file(&format!("/bin/{}", program.binary), 0o755, program.bytes.clone())?;
            for link in &program.links {
                let target = program.binary.clone();
                tree.put(&format!("/bin/{link}"), Node::Link { target })?;
            }
        }
        for link in &image.link {
            tree.put(&link.path, Node::Link { target: link.target.clone() })?;
        }
        for file in &image.file {
            tree.file(&file.path, 0o644, files::read(&image_folder.join(&file.source))?)?;
        }
        Ok(tree)
    }

    /// Adds the chosen modules, as they came, and their tables.
    pub(crate) fn add_modules(
        &mut self,
        debs: &Debs,
        tables: &Tables,
        selection: &Selection,
    ) -> Result<()> {
        let source = modules::source_folder(debs)?;
        let (_, release) = debs.kernel()?;
        let base = format!("/lib/modules/{release}");
        for module in &selection.modules {
            self.file(&format!("{base}/{module}"), 0o644, files::read(&source.join(module))?)?;
        }
        for name in ["modules.builtin", "modules.builtin.modinfo"] {
            self.file(&format!("{base}/{name}"), 0o644, files::read(&source.join(name))?)?;
        }
        for (name, text) in tables.cut(selection) {
            self.file(&format!("{base}/{name}"), 0o644, text.into_bytes())?;
        }
        Ok(())
    }

    /// Adds a regular file.
    pub(crate) fn file(&mut self, path: &str, mode: u32, bytes: Vec<u8>) -> Result<()> {
        self.put(path, Node::File { mode, bytes })
    }

    /// Adds a node; nothing is put over another.
    fn put(&mut self, path: &str, node: Node) -> Result<()> {
        for (at, _) in path.match_indices('/').filter(|(at, _)| *at > 0) {
            let folder = self.0.entry(path[..at].to_owned()).or_insert(Node::Folder);
            ensure!(matches!(folder, Node::Folder), "{} is not a folder", &path[..at]);
        }
        let twice = self.0.insert(path.to_owned(), node).is_some();
        ensure!(!twice, "{path} of the sealed root is given twice");
        Ok(())
    }

    /// Everything in the tree, sorted by path.
    pub(crate) fn nodes(&self) -> impl Iterator<Item = (&str, &Node)> {
        self.0.iter().map(|(path, node)| (path.as_str(), node))
    }

    /// Adds the tree to the image id.
    pub(crate) fn describe(&self, contents: &mut Contents) {
        for (path, node) in &self.0 {
            match node {
                Node::Folder => contents.add(&format!("root d {path}"), b""),
                Node::File { mode, bytes } => contents.add(&format!("root {mode:o} {path}"), bytes),
                Node::Link { target } => contents.add(&format!("root l {path}"), target.as_bytes()),
            }
        }
    }

    /// Packs the tree; gives the EROFS image.
    pub(crate) fn pack(
        &self,
        debs: &Debs,
        work: &Path,
        epoch_s: u32,
        image_id: &str,
    ) -> Result<Vec<u8>> {
        let stage = work.join("sealed");
        files::remove_folder(&stage)?;
        files::make_folder(&stage)?;
        files::set_mode(&stage, 0o755)?;
        for (path, node) in &self.0 {
            let place = stage.join(path.trim_start_matches('/'));
            match node {
                Node::Folder => {
                    files::make_folder(&place)?;
                    files::set_mode(&place, 0o755)?;
                }
                Node::File { mode, bytes } => files::write(&place, bytes, *mode)?,
                Node::Link { target } => std::os::unix::fs::symlink(target, &place)
                    .with_context(|| format!("linking {}", place.display()))?,
            }
        }
        // Modules are compressed already; asking zstd again costs a minute and saves nothing.
        let hints = work.join("compress-hints");
        files::write(&hints, b"0 \\.ko\\.xz$\n", 0o644)?;
        let result = work.join("root.erofs");
        if result.exists() {
            std::fs::remove_file(&result)?;
        }
        let sh = Shell::new()?;
        debs.tool(&sh, "usr/bin/mkfs.erofs")?
            .arg("--quiet")
            .arg("-zzstd,level=9")
            .arg("-C65536")
            .arg(format!("--compress-hints={}", hints.display()))
            .arg(format!("-T{epoch_s}"))
            .arg("--all-root")
            .arg("-x-1")
            .arg(format!("-U{}", identity::guid(image_id, "root")))
            .arg("--workers=1")
            .arg(&result)
            .arg(&stage)
            .run()
            .context("packing the sealed root")?;
        files::read(&result)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn folders_appear_and_nothing_is_put_twice() {
        let mut tree = Tree(BTreeMap::new());
        tree.file("/a/b/c", 0o644, vec![1]).unwrap();
        let paths: Vec<&str> = tree.nodes().map(|(path, _)| path).collect();
        assert_eq!(paths, ["/a", "/a/b", "/a/b/c"]);
        assert!(tree.file("/a/b/c", 0o644, vec![]).is_err());
        assert!(tree.file("/a/b/c/d", 0o644, vec![]).is_err());
    }
}
