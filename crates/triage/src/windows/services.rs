//! Services and drivers: what starts with the system, from where, and what happens when it fails.

use super::Windows;
use super::command;
use super::hives::{Loaded, Told, below, number_of, text_of};
use crate::Severity;
use crate::activation::Run;
use crate::context::Context;
use evidence::registry::Key;

/// Names of services that tools for running commands from afar leave behind, in lower case.
const REMOTE_TOOLS: &[&str] =
    &["psexesvc", "paexec", "remcomsvc", "csexecsvc", "winexesvc", "btobto", "smbexec"];
/// Where drivers belong.
const DRIVER_PLACES: &[&str] =
    &["/windows/", "/program files/", "/program files (x86)/", "/programdata/microsoft/"];

pub(super) fn apply(context: &mut Context<'_>, windows: &Windows<'_>) {
    let Some(loaded) = &windows.hives.system else { return };
    let services = format!("{}\\Services", windows.hives.control);
    let Some(list) = loaded.key(&services) else { return };
    for (name, key) in below(&list) {
        one(context, windows, loaded, &format!("{services}\\{name}"), &name, &key);
    }
}

fn when(start: Option<u64>) -> &'static str {
    match start {
        Some(0) => "at each start, by the loader",
        Some(1) => "at each start, with the kernel",
        Some(2) => "at each start",
        Some(3) => "when something asks for it",
        _ => "at a time that is not known",
    }
}

fn one(
    context: &mut Context<'_>,
    windows: &Windows<'_>,
    loaded: &Loaded<'_>,
    path: &str,
    name: &str,
    key: &Key<'_>,
) {
    let image = text_of(key, "ImagePath").unwrap_or_default();
    let start = number_of(key, "Start");
    let kind = number_of(key, "Type").unwrap_or(0);
    let who =
        text_of(key, "ObjectName").filter(|who| !who.is_empty()).unwrap_or("the system".to_owned());
    let run = |text: &str| {
        Run::active(who.clone(), when(start))
            .what(text.as_bytes())
            .but((start == Some(4)).then_some("the service is switched off"))
    };
    let time = key.last_written();
    let mut tell = |rule: &str, path: &str, value: (&str, &str), severity, detail: &str| {
        let (name, text) = value;
        let told = Told {
            detail: detail.to_owned(),
            time,
            severity,
            run: run(text),
            ..Told::new(path, name, text)
        };
        loaded.report(context, rule, told);
    };
    let line = command::expanded(&image);
    let (program, rest) = command::program(&line);
    let program_name = command::name(&program);
    let is_driver = matches!(kind & 0xff, 1 | 2 | 8);
    if let Some(sign) = command::sign(&image) {
        tell("GBX-WIN-0301", path, ("ImagePath", &image), Some(sign.severity), sign.what);
    } else if matches!(
        program_name,
        "cmd.exe"
            | "cmd"
            | "powershell.exe"
            | "powershell"
            | "mshta.exe"
            | "wscript.exe"
            | "cscript.exe"
    ) {
        let what = "a shell is no service: such an entry runs a command once, as tools that act from afar do";
        tell("GBX-WIN-0301", path, ("ImagePath", &image), Some(Severity::Critical), what);
    } else if program_name == "rundll32.exe" || program_name == "regsvr32.exe" {
        let what = "the service is a library in a program that loads any";
        tell("GBX-WIN-0301", path, ("ImagePath", &image), Some(Severity::High), what);
    } else if program.starts_with("/users/") || program.contains("/appdata/") {
        let what = "the program lies in the folder of a person";
        tell("GBX-WIN-0301", path, ("ImagePath", &image), Some(Severity::Medium), what);
    } else if is_driver
        && program.starts_with('/')
        && !DRIVER_PLACES.iter().any(|one| program.starts_with(one))
    {
        let what = "the driver lies where drivers do not";
        tell("GBX-WIN-0302", path, ("ImagePath", &image), None, what);
    } else if REMOTE_TOOLS.contains(&name.to_ascii_lowercase().as_str()) {
        let what = "a tool that runs commands from afar leaves this service";
        tell("GBX-WIN-0301", path, ("ImagePath", &image), Some(Severity::Medium), what);
    }
    // The library a shared process loads stands one level down, in old versions beside it.
    let parameters = key.subkey("Parameters").ok().flatten();
    let library = parameters.as_ref().and_then(|key| text_of(key, "ServiceDll"));
    let library = library.or_else(|| text_of(key, "ServiceDll")).filter(|text| !text.is_empty());
    if let Some(library) = library {
        let line = command::expanded(&library);
        let (file, _) = command::program(&line);
        let below = format!("{path}\\Parameters");
        if let Some(sign) = command::sign(&library) {
            tell("GBX-WIN-0303", &below, ("ServiceDll", &library), Some(sign.severity), sign.what);
        } else if file.starts_with('/')
            && !["/windows/", "/program files/", "/program files (x86)/", "/programdata/microsoft/"]
                .iter()
                .any(|one| file.starts_with(one))
        {
            tell(
                "GBX-WIN-0303",
                &below,
                ("ServiceDll", &library),
                None,
                "the library lies outside the system's folder",
            );
        }
    } else if program_name == "svchost.exe" && rest.contains("-k") && windows.is_missing(&image) {
        tell(
            "GBX-WIN-0301",
            path,
            ("ImagePath", &image),
            Some(Severity::Low),
            "the program is not on this volume",
        );
    }
    if let Some(text) = text_of(key, "FailureCommand").filter(|text| !text.is_empty()) {
        let sign = command::sign(&text);
        // Windows has some of its own, which are programs of the system without a path.
        let is_delivered = sign.is_none()
            && (!text.contains('\\') || command::expanded(&text).contains("\\windows\\system32\\"));
        if !is_delivered {
            let severity = sign.map(|sign| sign.severity);
            tell(
                "GBX-WIN-0304",
                path,
                ("FailureCommand", &text),
                severity,
                "it runs when the service ends badly",
            );
        }
    }
}
