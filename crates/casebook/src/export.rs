//! Acts and exhibits as tables for other programs.

use serde::Serialize;

use crate::{Act, Item};

/// Acts as CSV (RFC 4180), one line each after a heading.
#[must_use]
pub fn acts_csv(acts: &[Act]) -> String {
    let mut text = String::from(
        "number,started,ended,who,mode,verb,result,outcome,inputs,outputs,problems,arguments\r\n",
    );
    for act in acts {
        let names = |items: &[Item]| {
            items.iter().map(|item| item.name.as_str()).collect::<Vec<_>>().join("; ")
        };
        line(
            &mut text,
            &[
                act.number.to_string(),
                act.draft.started.to_string(),
                act.ended.to_string(),
                act.draft.who.clone(),
                word(&act.draft.mode),
                act.draft.verb.clone(),
                word(&act.outcome.result),
                act.outcome.text.clone(),
                names(&act.draft.inputs),
                names(&act.outputs),
                act.problems.join("; "),
                act.draft.arguments.to_string(),
            ],
        );
    }
    text
}

/// Files of exhibits as CSV, one line each after a heading.
#[must_use]
pub fn exhibits_csv(acts: &[Act]) -> String {
    let mut text = String::from("file,size_bytes,sha256,act,who,when\r\n");
    for act in acts {
        let left = act.set_aside.iter().flat_map(|aside| &aside.files);
        for item in act.outputs.iter().chain(left) {
            if item.name.starts_with("exhibits/") {
                line(
                    &mut text,
                    &[
                        item.name.clone(),
                        item.size_bytes.map_or_else(String::new, |size| size.to_string()),
                        item.digests.sha256_hex(),
                        act.number.to_string(),
                        act.draft.who.clone(),
                        act.ended.to_string(),
                    ],
                );
            }
        }
    }
    text
}

/// The word a value is serialised as.
fn word(value: &impl Serialize) -> String {
    let value = serde_json::to_value(value).unwrap_or_default();
    value.as_str().unwrap_or_default().to_owned()
}

fn line(text: &mut String, fields: &[String]) {
    let quoted: Vec<String> = fields.iter().map(|field| quote(field)).collect();
    text.push_str(&quoted.join(","));
    text.push_str("\r\n");
}

/// Always quoted. A field that a spreadsheet would take for a formula gets an apostrophe before it;
/// control characters are escaped.
fn quote(field: &str) -> String {
    let shown: String = field
        .chars()
        .map(
            |one| if one.is_control() { one.escape_default().to_string() } else { one.to_string() },
        )
        .collect();
    let guard = if shown.starts_with(['=', '+', '-', '@']) { "'" } else { "" };
    format!("\"{guard}{}\"", shown.replace('"', "\"\""))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_in_a_field_leaves_it() {
        assert_eq!(quote("a,\"b\"\n=1"), "\"a,\"\"b\"\"\\n=1\"");
        assert_eq!(quote("=cmd()"), "\"'=cmd()\"");
    }
}
