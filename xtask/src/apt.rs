//! Debian packages through the machine's own apt, with a configuration apart from the machine's.
//!
//! apt does what it is trusted for: it checks the archive's signature down to each package's digest.
//! Own lists, cache and status file mean that nothing on the machine is changed, and that only the
//! suite named in the image description is seen.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use xshell::{Shell, cmd};

use crate::config::Debian;
use crate::lock::{Package, Use};
use crate::{apt_sources, cache, files};

const KEYRING: &str = "/usr/share/keyrings/debian-archive-keyring.gpg";

/// apt with its own configuration.
pub(crate) struct Apt {
    folder: PathBuf,
    config: PathBuf,
}

/// What the archive's index says of one package.
#[derive(Debug, Default, Eq, PartialEq)]
pub(crate) struct Record {
    pub(crate) name: String,
    pub(crate) version: String,
    pub(crate) architecture: String,
    pub(crate) size_bytes: u64,
    pub(crate) sha256: String,
    pub(crate) depends: String,
}

impl Record {
    /// The lock entry for this record.
    pub(crate) fn pin(self, purpose: Use) -> Package {
        Package {
            name: self.name,
            version: self.version,
            architecture: self.architecture,
            size_bytes: self.size_bytes,
            sha256: self.sha256,
            purpose,
        }
    }
}

impl Apt {
    /// Writes the configuration. `mirror` overrides what the machine uses.
    pub(crate) fn configure(debian: &Debian, mirror: Option<&str>) -> Result<Self> {
        let mirror = match mirror {
            Some(uri) => uri.trim_end_matches('/').to_owned(),
            None => apt_sources::machine_mirror(Path::new("/etc/apt"))?,
        };
        if !Path::new(KEYRING).exists() {
            bail!("{KEYRING} is absent: install the package debian-archive-keyring");
        }
        let folder = cache::folder("apt")?;
        for part in ["sources", "state/lists/partial", "cache/archives/partial"] {
            files::make_folder(&folder.join(part))?;
        }
        let status = folder.join("state/status");
        files::write(&status, b"", 0o644)?;
        let stanza = format!(
            "Types: deb\nURIs: {mirror}\nSuites: {}\nComponents: main\nSigned-By: {KEYRING}\n",
            debian.suite
        );
        files::write(&folder.join("sources/debian.sources"), stanza.as_bytes(), 0o644)?;
        let root = folder.display();
        // apt gives root's work to an account that cannot look into a private cache folder; the
        // files are checked by digest afterwards all the same.
        let config = format!(
            "Dir::Etc::SourceList \"/dev/null\";\n\
             Dir::Etc::SourceParts \"{root}/sources\";\n\
             Dir::State \"{root}/state\";\n\
             Dir::State::status \"{root}/state/status\";\n\
             Dir::Cache \"{root}/cache\";\n\
             APT::Architecture \"{}\";\n\
             APT::Architectures {{ \"{}\"; }};\n\
             APT::Sandbox::User \"root\";\n\
             APT::Get::AllowUnauthenticated \"false\";\n\
             Acquire::Languages \"none\";\n\
             Acquire::Retries \"3\";\n",
            debian.architecture, debian.architecture
        );
        let path = folder.join("apt.conf");
        files::write(&path, config.as_bytes(), 0o644)?;
        Ok(Self { folder, config: path })
    }

    fn shell(&self) -> Result<Shell> {
        let sh = Shell::new()?;
        sh.set_var("APT_CONFIG", &self.config);
        sh.set_var("LC_ALL", "C");
        Ok(sh)
    }

    /// Fetches the suite's index.
    pub(crate) fn update(&self) -> Result<()> {
        let sh = self.shell()?;
        cmd!(sh, "apt-get -q update").run().context("fetching the package index")
    }

    /// Records of the newest version of each named package.
    pub(crate) fn newest(&self, names: &[String]) -> Result<Vec<Record>> {
        let sh = self.shell()?;
        let text = cmd!(sh, "apt-cache show --no-all-versions {names...}")
            .read()
            .with_context(|| format!("looking up {}", names.join(" ")))?;
        let records = parse_records(&text);
        for name in names {
            if !records.iter().any(|record| &record.name == name) {
                bail!("package {name} is not in the suite");
            }
        }
        Ok(records)
    }

    /// Whether the index still has this very version and digest.
    pub(crate) fn has(&self, package: &Package) -> bool {
        let Ok(sh) = self.shell() else { return false };
        let name = &package.name;
        let Ok(text) = cmd!(sh, "apt-cache show {name}").quiet().ignore_stderr().read() else {
            return false;
        };
        parse_records(&text)
            .iter()
            .any(|r| r.version == package.version && r.sha256 == package.sha256)
    }

    /// Downloads one package; gives the path of the `.deb`.
    pub(crate) fn download(&self, package: &Package) -> Result<PathBuf> {
        let folder = self.folder.join("download");
        files::remove_folder(&folder)?;
        files::make_folder(&folder)?;
        let sh = self.shell()?;
        sh.change_dir(&folder);
        let wanted = format!("{}={}", package.name, package.version);
        cmd!(sh, "apt-get -q download {wanted}")
            .run()
            .with_context(|| format!("downloading {wanted}"))?;
        files::walk(&folder)?.pop().with_context(|| format!("looking for {wanted}"))
    }
}

fn parse_records(text: &str) -> Vec<Record> {
    let mut records = Vec::new();
    for stanza in text.split("\n\n").filter(|stanza| !stanza.trim().is_empty()) {
        let mut record = Record::default();
        for (key, value) in stanza.lines().filter_map(|line| line.split_once(": ")) {
            let value = value.trim().to_owned();
            match key {
                "Package" => record.name = value,
                "Version" => record.version = value,
                "Architecture" => record.architecture = value,
                "Size" => record.size_bytes = value.parse().unwrap_or_default(),
                "SHA256" => record.sha256 = value,
                "Depends" => record.depends = value,
                _ => {}
            }
        }
        records.push(record);
    }
    records
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn records_of_several_packages() {
        let text = "Package: a\nVersion: 1:2-3\nArchitecture: amd64\nSize: 12\nSHA256: ff\n\
                    Description: x: y\n more: text\n\nPackage: b\nDepends: c (= 1), d\n\n";
        let records = parse_records(text);
        assert_eq!(records.len(), 2);
        assert_eq!((records[0].version.as_str(), records[0].size_bytes), ("1:2-3", 12));
        assert_eq!(records[1].depends, "c (= 1), d");
    }
}
