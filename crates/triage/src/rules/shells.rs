//! What shells run when they start, and rc.local.

use crate::context::{Context, Spot};
use crate::finding::{Activation, Severity};
use crate::parse::meaningful;
use crate::payload;

const SHELL_FILES: &[&str] = &[
    "/etc/profile",
    "/etc/bash.bashrc",
    "/etc/bashrc",
    "/etc/zshenv",
    "/etc/zshrc",
    "/etc/csh.cshrc",
    "/etc/csh.login",
    "~/.bashrc",
    "~/.bash_profile",
    "~/.bash_login",
    "~/.bash_logout",
    "~/.bash_aliases",
    "~/.profile",
    "~/.zshenv",
    "~/.zshrc",
    "~/.zprofile",
    "~/.zlogin",
    "~/.zlogout",
    "~/.kshrc",
    "~/.cshrc",
    "~/.tcshrc",
    "~/.xprofile",
    "~/.xinitrc",
    "~/.xsession",
    "~/.config/fish/config.fish",
    "~/.config/fish/conf.d/*",
];

pub(crate) fn apply(context: &mut Context<'_>) {
    let root = context.root;
    for pattern in SHELL_FILES {
        for item in root.matching(pattern).into_iter().filter(|item| item.is_file()) {
            let raw = root.text(item.path).unwrap_or_default();
            let signs = payload::signs(&raw);
            for sign in &signs {
                let spot = Spot::line(item.path, sign.line, sign.offset_bytes, &sign.text)
                    .detail(sign.what);
                context.report("GBX-0801", spot.activation(Activation::Active));
            }
            for (line, offset, text) in meaningful(&raw) {
                let is_told = signs.iter().any(|sign| sign.line == line);
                if !is_told && payload::runs_from_shared(text) {
                    let detail = "runs a program that lies where everybody can write";
                    context.report(
                        "GBX-0801",
                        Spot::line(item.path, line, offset, text).detail(detail),
                    );
                }
            }
        }
    }
    for path in ["/etc/rc.local", "/etc/rc.d/rc.local"] {
        let Some(item) = root.item(path.as_bytes()).filter(|item| item.is_file()) else { continue };
        let raw = root.text(item.path).unwrap_or_default();
        let is_active = item.is_executable();
        let activation = if is_active { Activation::Active } else { Activation::Inactive };
        // The delivered form is comments and "exit 0".
        let commands = meaningful(&raw).filter(|(_, _, text)| text.trim_ascii() != b"exit 0");
        let mut told = false;
        for (line, offset, text) in commands {
            let sign = payload::sign_of(text);
            if told && sign.is_none() {
                continue;
            }
            told = true;
            let spot = Spot::line(item.path, line, offset, text)
                .activation(activation)
                .detail(sign.unwrap_or_default());
            context.report(
                "GBX-0803",
                match (is_active, sign) {
                    (true, Some(_)) => spot.severity(Severity::Critical),
                    (true, None) => spot,
                    (false, _) => spot.severity(Severity::Low),
                },
            );
        }
    }
}
