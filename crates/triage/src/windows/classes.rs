//! Classes of a person that stand in front of the machine's: what COM loads and what opens a file.

use super::Windows;
use super::command;
use super::hives::{Told, below, text_of};
use crate::Severity;
use crate::activation::Run;
use crate::context::Context;
use std::collections::BTreeSet;

/// Classes whose command Windows runs with more rights than the person has.
const TRUSTED: &[&str] =
    &["ms-settings", "mscfile", "exefile", "Folder", "AppX82a6gwre4fdg3bt635tn5ctqjf8msdd2"];

pub(super) fn apply(context: &mut Context<'_>, windows: &Windows<'_>) {
    let machine = windows.hives.software.as_ref().and_then(|loaded| loaded.key("Classes\\CLSID"));
    let known: BTreeSet<String> = machine
        .map(|key| below(&key))
        .unwrap_or_default()
        .into_iter()
        .map(|(name, _)| name.to_ascii_lowercase())
        .collect();
    for loaded in &windows.hives.classes {
        let run =
            |text: &str, when: &str| Run::active(loaded.owner.clone(), when).what(text.as_bytes());
        for (class, key) in loaded.key("CLSID").map(|key| below(&key)).unwrap_or_default() {
            for server in ["InprocServer32", "LocalServer32", "TreatAs"] {
                let Some(key) = key.subkey(server).ok().flatten() else { continue };
                let Some(text) = text_of(&key, "").filter(|text| !text.is_empty()) else {
                    continue;
                };
                let is_shadow = known.contains(&class.to_ascii_lowercase());
                let sign = command::sign(&text);
                if !is_shadow && sign.is_none() {
                    continue;
                }
                let path = format!("CLSID\\{class}\\{server}");
                let detail = match (is_shadow, sign) {
                    (true, _) => {
                        "the machine has a class of this number too, and this one is used instead"
                            .to_owned()
                    }
                    (false, Some(sign)) => sign.what.to_owned(),
                    (false, None) => String::new(),
                };
                let severity = sign.map(|sign| sign.severity);
                let run = run(&text, "whenever a program asks for this class");
                let told = Told {
                    time: key.last_written(),
                    detail,
                    severity,
                    run,
                    ..Told::new(&path, "", &text)
                };
                loaded.report(context, "GBX-WIN-0213", told);
            }
        }
        for class in TRUSTED {
            let path = format!("{class}\\shell\\open\\command");
            let Some(key) = loaded.key(&path) else { continue };
            // Applications of the store have the key, without a command.
            let Some(text) = text_of(&key, "").filter(|text| !text.is_empty()) else { continue };
            let run = run(&text, "when a trusted program opens such a thing");
            let told = Told { time: key.last_written(), run, ..Told::new(&path, "", &text) };
            loaded.report(context, "GBX-WIN-0214", told);
        }
    }
    if let Some(loaded) = &windows.hives.software {
        for class in ["exefile", "comfile", "batfile", "cmdfile"] {
            let path = format!("Classes\\{class}\\shell\\open\\command");
            let Some(key) = loaded.key(&path) else { continue };
            let Some(text) = text_of(&key, "").filter(|text| text != "\"%1\" %*") else { continue };
            let run =
                Run::active("everybody", "with every program that is opened").what(text.as_bytes());
            let severity = Some(Severity::Critical);
            let told =
                Told { time: key.last_written(), run, severity, ..Told::new(&path, "", &text) };
            loaded.report(context, "GBX-WIN-0214", told);
        }
    }
}
