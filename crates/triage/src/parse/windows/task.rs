//! Scheduled tasks: their XML in `System32\Tasks`, and the actions the registry keeps of each.
//!
//! The service obeys the registry; people and most tools read the XML. Both are read so that they can be compared.

use super::super::bytes::{le16, le32, size};
use super::{counted, utf16};

/// What a task does.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Action {
    /// Starts a program: command, arguments.
    Run(String, String),
    /// Calls a class.
    Class(String),
    /// Shows or mails something, as old versions could.
    Other(&'static str),
}

impl Action {
    /// As one line.
    #[must_use]
    pub fn line(&self) -> String {
        match self {
            Self::Run(command, arguments) if arguments.is_empty() => command.clone(),
            Self::Run(command, arguments) => format!("{command} {arguments}"),
            Self::Class(class) => format!("class {class}"),
            Self::Other(what) => (*what).to_owned(),
        }
    }
}

/// What the XML of a task says.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Task {
    /// What it does.
    pub actions: Vec<Action>,
    /// Who it runs as.
    pub user: Option<String>,
    /// What starts it, by the names of the elements.
    pub triggers: Vec<String>,
    /// Whether it is hidden from lists.
    pub is_hidden: bool,
    /// Whether it is switched off.
    pub is_disabled: bool,
}

/// Elements read of one file.
const MAX_ELEMENTS: usize = 1 << 14;

/// Reads the XML; elements with a prefix and unknown ones are passed over.
#[must_use]
pub fn parse(text: &str) -> Task {
    let mut task = Task::default();
    let mut stack: Vec<&str> = Vec::new();
    let (mut command, mut arguments) = (String::new(), String::new());
    let mut rest = text;
    for _ in 0..MAX_ELEMENTS {
        let Some((before, after)) = rest.split_once('<') else { break };
        if let Some(tail) = after.strip_prefix("!--") {
            rest = tail.split_once("-->").map_or("", |(_, rest)| rest);
            continue;
        }
        let Some((tag, next)) = after.split_once('>') else { break };
        rest = next;
        if tag.starts_with(['?', '!']) {
            continue;
        }
        if let Some(name) = tag.strip_prefix('/') {
            let value = unescape(before.trim());
            match (stack.iter().rev().nth(1).copied().unwrap_or(""), name.trim()) {
                ("Exec", "Command") => command = value,
                ("Exec", "Arguments") => arguments = value,
                ("ComHandler", "ClassId") => task.actions.push(Action::Class(value)),
                ("Actions", "Exec") => {
                    let action =
                        Action::Run(std::mem::take(&mut command), std::mem::take(&mut arguments));
                    task.actions.push(action);
                }
                ("Actions", "SendEmail") => task.actions.push(Action::Other("sends a mail")),
                ("Actions", "ShowMessage") => task.actions.push(Action::Other("shows a message")),
                ("Principal", "UserId" | "GroupId") => task.user = Some(value),
                ("Settings", "Hidden") => task.is_hidden = value.eq_ignore_ascii_case("true"),
                ("Settings", "Enabled") => task.is_disabled = value.eq_ignore_ascii_case("false"),
                _ => {}
            }
            stack.pop();
            continue;
        }
        let is_empty = tag.ends_with('/');
        let name = tag.split([' ', '\t', '\r', '\n', '/']).next().unwrap_or("");
        if stack.last() == Some(&"Triggers") {
            task.triggers.push(name.to_owned());
        }
        if !is_empty && stack.len() < 64 {
            stack.push(name);
        }
    }
    task
}

fn unescape(text: &str) -> String {
    let mut out = text.to_owned();
    // The sign all others begin with comes last.
    for (from, to) in
        [("&lt;", "<"), ("&gt;", ">"), ("&quot;", "\""), ("&apos;", "'"), ("&amp;", "&")]
    {
        out = out.replace(from, to);
    }
    out
}

/// Reads the value `Actions` of a task in the registry: a version, a context, and actions with a number for their kind.
#[must_use]
pub fn actions(raw: &[u8]) -> Option<Vec<Action>> {
    let version = le16(raw, 0)?;
    let mut at = 2;
    if version >= 2 {
        at = counted(raw, at)?.1;
    }
    let mut out = Vec::new();
    while at < raw.len() && out.len() < 64 {
        let kind = le16(raw, at)?;
        let (_, next) = counted(raw, at.checked_add(2)?)?;
        at = next;
        match kind {
            0x6666 => {
                let (command, next) = counted(raw, at)?;
                let (arguments, next) = counted(raw, next)?;
                let (_, next) = counted(raw, next)?;
                out.push(Action::Run(command, arguments));
                at = if version >= 3 { next.checked_add(2)? } else { next };
            }
            0x7777 => {
                let class = raw.get(at..at.checked_add(16)?)?;
                out.push(Action::Class(class_id(class)?));
                at = counted(raw, at.checked_add(16)?)?.1;
            }
            0x8888 => {
                out.push(Action::Other("sends a mail"));
                return Some(out);
            }
            0x9999 => {
                out.push(Action::Other("shows a message"));
                let (_, next) = counted(raw, at)?;
                at = counted(raw, next)?.1;
            }
            _ => return None,
        }
    }
    Some(out)
}

/// A class identifier as text.
#[must_use]
pub fn class_id(raw: &[u8]) -> Option<String> {
    let (first, second, third) = (le32(raw, 0)?, le16(raw, 4)?, le16(raw, 6)?);
    let rest: Vec<String> = raw.get(8..16)?.iter().map(|byte| format!("{byte:02X}")).collect();
    let (head, tail) = rest.split_at_checked(2)?;
    Some(format!("{{{first:08X}-{second:04X}-{third:04X}-{}-{}}}", head.concat(), tail.concat()))
}

/// The text of a value of texts, up to its first NUL.
#[must_use]
pub fn text(raw: &[u8]) -> String {
    let text = utf16(raw.get(..raw.len().min(size(64 << 10))).unwrap_or(raw));
    text.split('\0').next().unwrap_or("").to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Only we vouch for these; real tasks are judged in the tests of the crate.
    #[test]
    fn xml_and_registry_tell_the_same() {
        let xml = "<?xml version=\"1.0\"?>\n<Task><Triggers><LogonTrigger id=\"a\"><Enabled>true</Enabled></LogonTrigger>\
            <TimeTrigger/></Triggers><Principals><Principal id=\"A\"><UserId>S-1-5-18</UserId></Principal></Principals>\
            <Settings><Hidden>true</Hidden><Enabled>false</Enabled></Settings><!-- <Exec> -->\
            <Actions><Exec><Command>cmd.exe</Command><Arguments>/c a &amp; b</Arguments></Exec>\
            <ComHandler><ClassId>{00000000-0000-0000-C000-000000000046}</ClassId></ComHandler></Actions></Task>";
        let task = parse(xml);
        let text = |text: &str| {
            let raw: Vec<u8> = text.encode_utf16().flat_map(u16::to_le_bytes).collect();
            [u32::try_from(raw.len()).unwrap().to_le_bytes().to_vec(), raw].concat()
        };
        let mut raw = [vec![3, 0], text("Author"), vec![0x66, 0x66], text("")].concat();
        raw.extend([text("cmd.exe"), text("/c a & b"), text(""), vec![0, 0]].concat());
        raw.extend([vec![0x77, 0x77], text("")].concat());
        raw.extend([0, 0, 0, 0, 0, 0, 0, 0, 0xc0, 0, 0, 0, 0, 0, 0, 0x46]);
        raw.extend(text(""));
        assert_eq!(actions(&raw).unwrap(), task.actions);
        assert_eq!(task.actions[0].line(), "cmd.exe /c a & b");
        assert_eq!(
            (task.user.as_deref(), task.is_hidden, task.is_disabled),
            (Some("S-1-5-18"), true, true)
        );
        assert_eq!(task.triggers, ["LogonTrigger", "TimeTrigger"]);
        for cut in 0..raw.len() {
            let _ = actions(&raw[..cut]);
        }
    }
}
