//! `sbom.cdx.json`: what is inside, as a CycloneDX 1.6 bill of materials.
//!
//! Debian packages whose files are shipped, every Rust crate compiled into a shipped program, and the
//! two run-time libraries linked into each of them.
//! Build tools are listed apart: none of their bytes is in the image.

use serde_json::{Value, json};

use crate::identity::Identity;
use crate::lock::{Lock, Package, Use};

/// Licence of the Debian packages we take files from, by their `copyright` files.
const DEBIAN_LICENCES: [(&str, &str); 4] = [
    ("linux-image-", "GPL-2.0-only"),
    ("shim-signed", "BSD-2-Clause"),
    ("grub-efi-amd64-signed", "GPL-3.0-or-later"),
    ("grub-pc-bin", "GPL-3.0-or-later"),
];

/// The document. `crates` are lines `name vVERSION|licence`.
pub(crate) fn document(
    identity: &Identity,
    lock: &Lock,
    crates: &[String],
    runtime: &[String],
) -> Value {
    let mut components: Vec<Value> = Vec::new();
    for package in lock.of(Use::Kernel).chain(lock.of(Use::Boot)) {
        components.push(debian(package));
    }
    let mut lines = crates.to_vec();
    lines.sort();
    lines.dedup();
    components.extend(lines.iter().filter_map(|line| component(line, "cargo")));
    components.extend(runtime.iter().filter_map(|line| component(line, "generic")));
    let tools: Vec<Value> = lock.of(Use::Tool).map(debian).collect();
    json!({
        "bomFormat": "CycloneDX",
        "specVersion": "1.6",
        "serialNumber": format!("urn:uuid:{}", identity.guid("sbom")),
        "version": 1,
        "metadata": {
            "component": {
                "type": "operating-system",
                "bom-ref": "image",
                "name": identity.name,
                "version": identity.version,
                "hashes": [{ "alg": "SHA-256", "content": identity.image_id }],
            },
            "tools": { "components": tools },
        },
        "components": components,
    })
}

fn debian(package: &Package) -> Value {
    let version = package.version.replace('+', "%2B").replace(':', "%3A").replace('~', "%7E");
    let purl = format!(
        "pkg:deb/debian/{}@{version}?arch={}",
        package.name.replace('+', "%2B"),
        package.architecture
    );
    let mut component = json!({
        "type": "library",
        "bom-ref": purl,
        "name": package.name,
        "version": package.version,
        "purl": purl,
        "hashes": [{ "alg": "SHA-256", "content": package.sha256 }],
    });
    let licence = DEBIAN_LICENCES.iter().find(|(name, _)| package.name.starts_with(name));
    if let (Some((_, licence)), Some(map)) = (licence, component.as_object_mut()) {
        map.insert("licenses".into(), json!([{ "expression": licence }]));
    }
    component
}

fn component(line: &str, kind: &str) -> Option<Value> {
    let (package, licence) = line.split_once('|')?;
    let (name, version) = package.split_once(" v")?;
    let purl = format!("pkg:{kind}/{name}@{}", version.replace('+', "%2B"));
    let mut component = json!({
        "type": "library",
        "bom-ref": purl,
        "name": name,
        "version": version,
        "purl": purl,
    });
    if let (false, Some(map)) = (licence.is_empty(), component.as_object_mut()) {
        // An older notation of "or" that SPDX expressions do not know.
        let licence = licence.replace('/', " OR ").replace("  ", " ");
        map.insert("licenses".into(), json!([{ "expression": licence }]));
    }
    Some(component)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn crates_and_packages_get_package_urls() {
        let crate_ = component("toml v1.1.2+spec-1.1.0|MIT/Apache-2.0", "cargo").unwrap();
        assert_eq!(crate_["purl"], "pkg:cargo/toml@1.1.2%2Bspec-1.1.0");
        assert_eq!(crate_["licenses"][0]["expression"], "MIT OR Apache-2.0");
        let package = debian(&Package {
            name: "linux-image-6.12+x".into(),
            version: "1:2~3".into(),
            architecture: "amd64".into(),
            size_bytes: 1,
            sha256: "00".into(),
            purpose: Use::Kernel,
        });
        assert_eq!(package["purl"], "pkg:deb/debian/linux-image-6.12%2Bx@1%3A2%7E3?arch=amd64");
        assert_eq!(package["licenses"][0]["expression"], "GPL-2.0-only");
    }
}
