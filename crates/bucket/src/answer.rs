//! The little of XML that answers of a store consist of: elements without attributes that matter, text, five entities.

/// The text of the first element of this name.
pub(crate) fn text(xml: &str, name: &str) -> Option<String> {
    inside(xml, name).next().map(unescaped)
}

/// What stands in each element of this name, as it is written.
pub(crate) fn inside<'a>(xml: &'a str, name: &str) -> impl Iterator<Item = &'a str> {
    let (open, close) = (format!("<{name}"), format!("</{name}>"));
    let mut rest = xml;
    std::iter::from_fn(move || {
        loop {
            let (_, after) = rest.split_once(open.as_str())?;
            rest = after;
            // `<Part>` and `<Part a="b">`, not `<PartNumber>`, and not `<Part/>`.
            if !after.starts_with(['>', ' ', '\t', '\r', '\n']) {
                continue;
            }
            let (tag, content) = after.split_once('>')?;
            rest = content;
            if tag.ends_with('/') {
                continue;
            }
            let (content, after) = content.split_once(close.as_str())?;
            rest = after;
            return Some(content);
        }
    })
}

fn unescaped(text: &str) -> String {
    let mut text = text.trim().to_owned();
    for (entity, letter) in [
        ("&quot;", "\""),
        ("&#34;", "\""),
        ("&#x22;", "\""),
        ("&apos;", "'"),
        ("&#39;", "'"),
        ("&lt;", "<"),
        ("&gt;", ">"),
        // Last, so that what it makes is not taken for another.
        ("&amp;", "&"),
    ] {
        text = text.replace(entity, letter);
    }
    text
}

/// Text as it stands in an element.
pub(crate) fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn elements_are_found() {
        let xml = "<?xml version=\"1.0\"?><R xmlns=\"x\"><UploadId>a&amp;b&quot;</UploadId><Part/>\
                   <Part><PartNumber>1</PartNumber></Part><Part >\n<PartNumber>2</PartNumber></Part></R>";
        assert_eq!(text(xml, "UploadId").as_deref(), Some("a&b\""));
        let numbers: Vec<_> = inside(xml, "Part").map(|part| text(part, "PartNumber")).collect();
        assert_eq!(numbers, [Some("1".to_owned()), Some("2".to_owned())]);
        assert_eq!(text("<A>", "A"), None);
        assert_eq!(text(&format!("<A>{}</A>", escaped("<\"&>")), "A").as_deref(), Some("<\"&>"));
    }

    proptest! {
        #[test]
        fn any_text_comes_to_an_end(xml in "(<|>|/|Part| |x|&amp;|\"){0,60}") {
            let found = inside(&xml, "Part").count();
            prop_assert!(found <= xml.len());
            let _ = text(&xml, "Part");
        }
    }
}
