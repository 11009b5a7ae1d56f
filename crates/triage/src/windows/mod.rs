//! Triage of an installed Windows: who may come in, what starts by itself, and what somebody did to the logs.
//!
//! The registry is read with what its logs have laid over it. Nothing is compared with what Microsoft delivered: its files
//! are known by signatures in catalogues, which are not judged yet, so a replaced system file is not found here. What else
//! is not judged is said in the coverage.

mod accounts;
mod autostart;
mod classes;
mod command;
mod folders;
mod hives;
mod logs;
mod services;
mod settings;
mod tasks;
mod tree;
mod wmi;

use crate::context::Context;
use hives::Hives;
use tree::Tree;

/// What a reader must not take silence about for absence.
const NOT_JUDGED: &[&str] = &[
    "Windows: system files and drivers are not compared with Microsoft's signed catalogues",
    "Windows: consumers of WMI are found by their text in OBJECTS.DATA; its index is not followed",
    "Windows: alternate data streams, BITS jobs, Office add-ins, browser extensions, shims and group policy scripts are not judged",
    "Windows: event logs other than Security and System are counted for gaps, but their events are not judged",
];

/// What the rules of Windows work with.
pub(crate) struct Windows<'a> {
    pub(crate) tree: Tree<'a>,
    pub(crate) hives: Hives<'a>,
    /// The folder of the system, in lower case: `/windows`.
    pub(crate) folder: Vec<u8>,
}

/// Applies every rule of Windows.
pub(crate) fn apply(context: &mut Context<'_>) {
    let tree = Tree::new(context.root);
    let folders: [&[u8]; 2] = [b"/windows", b"/winnt"];
    let holds = |folder: &&[u8]| tree.item(&[*folder, b"/system32/config"].concat()).is_some();
    let folder = folders.into_iter().find(holds).unwrap_or(b"/windows").to_vec();
    let hives = Hives::open(context, &tree, &folder);
    let windows = Windows { tree, hives, folder };
    let rules: &[fn(&mut Context<'_>, &Windows<'_>)] = &[
        accounts::apply,
        autostart::apply,
        settings::apply,
        classes::apply,
        services::apply,
        tasks::apply,
        folders::apply,
        wmi::apply,
        logs::apply,
    ];
    for rule in rules {
        rule(context, &windows);
    }
    context.coverage.rules_skipped.extend(NOT_JUDGED.iter().map(|text| (*text).to_owned()));
}
