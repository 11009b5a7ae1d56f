//! `cargo xtask repro`: builds the image twice under different circumstances and compares every byte.
//!
//! Varied: folder (name and depth), HOME, cargo's folder, user name, umask, time zone, locale, time.
//! Not varied: compiler, C library and machine; those are named by `image/` and the toolchain file, or
//! are for a second builder to vary.

use std::env;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use xshell::{Shell, cmd};

use crate::{cache, files, own};

/// A minisign signature is made with fresh randomness; what it signs is compared.
const NOT_COMPARED: [&str; 1] = ["SHA256SUMS.minisig"];

/// Options of the comparison.
#[derive(clap::Args, Debug)]
pub(crate) struct Args {
    /// Image to build
    #[arg(default_value = "glovebox")]
    image: String,
    /// Build the registry's programs twice too, which takes long
    #[arg(long)]
    userland: bool,
}

/// What one of the two builds sees of the world.
struct World {
    folder: PathBuf,
    home: PathBuf,
    cargo_home: PathBuf,
    umask: &'static str,
    variables: [(&'static str, &'static str); 4],
}

pub(crate) fn run(args: &Args) -> Result<()> {
    let root = files::project_root()?;
    let place = tempfile::tempdir().context("making a work folder")?;
    let cargo_home = own::cargo_home()?;
    let home = PathBuf::from(env::var_os("HOME").context("HOME is not set")?);
    let other_home = place.path().join("some where else/home");
    let other_cargo = other_home.join("cargo");
    copy_registry(&cargo_home, &other_cargo)?;
    let worlds = [
        World {
            folder: place.path().join("a"),
            home,
            cargo_home,
            umask: "022",
            variables: [("TZ", "UTC"), ("LC_ALL", "C"), ("USER", "root"), ("LOGNAME", "root")],
        },
        World {
            folder: place.path().join("deeper/and-longer/b"),
            home: other_home,
            cargo_home: other_cargo,
            umask: "077",
            variables: [
                ("TZ", "Pacific/Kiritimati"),
                ("LC_ALL", "C.UTF-8"),
                ("USER", "somebody"),
                ("LOGNAME", "somebody"),
            ],
        },
    ];
    // Both copies first: somebody may go on working in the tree meanwhile.
    for world in &worlds {
        copy_tree(&root, &world.folder)?;
    }
    let mut outs = Vec::new();
    for world in &worlds {
        outs.push(build(world, args)?);
    }
    compare(&outs[0], &outs[1])
}

fn build(world: &World, args: &Args) -> Result<PathBuf> {
    let program = env::current_exe().context("looking for this program")?;
    let out = world.folder.join("out");
    let cache = cache::folder(".")?;
    let sh = Shell::new()?;
    sh.change_dir(&world.folder);
    for (name, value) in world.variables {
        sh.set_var(name, value);
    }
    // rustup finds its toolchains below HOME unless told.
    let rustup = env::var_os("RUSTUP_HOME")
        .map(PathBuf::from)
        .or_else(|| env::var_os("HOME").map(|home| PathBuf::from(home).join(".rustup")));
    if let Some(path) = rustup {
        sh.set_var("RUSTUP_HOME", path);
    }
    sh.set_var("HOME", &world.home);
    sh.set_var("CARGO_HOME", &world.cargo_home);
    sh.set_var("GLOVEBOX_CACHE", cache);
    sh.set_var("CARGO_TARGET_DIR", world.folder.join("target"));
    let script = format!("umask {}; exec \"$@\"", world.umask);
    let image = &args.image;
    let fresh = args.userland.then_some("--fresh-userland");
    cmd!(sh, "sh -c {script} sh {program} build {image} --locked --out {out} {fresh...}")
        .run()
        .with_context(|| format!("building in {}", world.folder.display()))?;
    Ok(out)
}

/// Copies what git knows or would know of the tree.
fn copy_tree(root: &Path, target: &Path) -> Result<()> {
    let sh = Shell::new()?;
    sh.change_dir(root);
    let list = cmd!(sh, "git ls-files --cached --others --exclude-standard").quiet().read()?;
    for name in list.lines() {
        let source = root.join(name);
        if source.is_file() {
            files::write(&target.join(name), &files::read(&source)?, 0o644)?;
        }
    }
    Ok(())
}

/// A second folder for cargo with the same downloads, so that the network is not asked again.
fn copy_registry(source: &Path, target: &Path) -> Result<()> {
    let sh = Shell::new()?;
    for part in ["registry/index", "registry/cache"] {
        let (from, to) = (source.join(part), target.join(part));
        if from.is_dir() {
            files::make_folder(to.parent().unwrap_or(target))?;
            cmd!(sh, "cp --archive --reflink=auto {from} {to}").run()?;
        }
    }
    Ok(())
}

/// Compares two output folders; names the first difference of every file.
fn compare(first: &Path, second: &Path) -> Result<()> {
    let names = |folder: &Path| -> Result<Vec<String>> {
        let mut names = Vec::new();
        for path in files::walk(folder)? {
            names.extend(path.strip_prefix(folder)?.to_str().map(str::to_owned));
        }
        names.retain(|name| !NOT_COMPARED.contains(&name.as_str()));
        Ok(names)
    };
    let (ours, theirs) = (names(first)?, names(second)?);
    if ours != theirs {
        bail!("the builds made different files: {ours:?} and {theirs:?}");
    }
    let mut differing = 0;
    for name in &ours {
        let (a, b) = (files::read(&first.join(name))?, files::read(&second.join(name))?);
        match first_difference(&a, &b) {
            None => println!("same      {name} {}", files::sha256(&a)),
            Some(offset) => {
                differing += 1;
                println!("DIFFERENT {name} from byte {offset} ({} and {} bytes)", a.len(), b.len());
            }
        }
    }
    println!("not compared: {} (signed with fresh randomness)", NOT_COMPARED.join(", "));
    if differing > 0 {
        bail!("{differing} of {} outputs differ between two builds", ours.len());
    }
    Ok(())
}

fn first_difference(a: &[u8], b: &[u8]) -> Option<usize> {
    let same = a.iter().zip(b).take_while(|(x, y)| x == y).count();
    (same < a.len().max(b.len())).then_some(same)
}

#[cfg(test)]
mod tests {
    use super::first_difference;

    #[test]
    fn first_differing_byte_is_named() {
        assert_eq!(first_difference(b"abc", b"abc"), None);
        assert_eq!(first_difference(b"abc", b"abd"), Some(2));
        assert_eq!(first_difference(b"abc", b"abcd"), Some(3));
        assert_eq!(first_difference(b"", b"x"), Some(0));
    }
}
