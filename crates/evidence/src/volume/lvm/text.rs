//! LVM's configuration text: sections, numbers, strings and lists (lvm2 `libdm/libdm-config.c`).
//!
//! The text comes from the evidence: its depth, its number of items and its length are bounded.

const MOST_DEPTH: usize = 16;
const MOST_ITEMS: usize = 400_000;

/// A value or a section.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Item {
    Number(i64),
    Text(String),
    List(Vec<Item>),
    Section(Section),
}

/// Named items in their order.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Section(pub(super) Vec<(String, Item)>);

impl Section {
    pub(super) fn item(&self, name: &str) -> Option<&Item> {
        self.0.iter().find(|(own, _)| own == name).map(|(_, item)| item)
    }

    pub(super) fn section(&self, name: &str) -> Option<&Section> {
        match self.item(name) {
            Some(Item::Section(section)) => Some(section),
            _ => None,
        }
    }

    pub(super) fn text(&self, name: &str) -> Option<&str> {
        match self.item(name) {
            Some(Item::Text(text)) => Some(text),
            _ => None,
        }
    }

    pub(super) fn number(&self, name: &str) -> Option<i64> {
        match self.item(name) {
            Some(Item::Number(number)) => Some(*number),
            _ => None,
        }
    }

    /// A number that is not negative.
    pub(super) fn count(&self, name: &str) -> Option<u64> {
        self.number(name).and_then(|number| u64::try_from(number).ok())
    }

    pub(super) fn list(&self, name: &str) -> &[Item] {
        match self.item(name) {
            Some(Item::List(list)) => list,
            _ => &[],
        }
    }

    /// The strings of a list.
    pub(super) fn texts(&self, name: &str) -> Vec<String> {
        let text = |item: &Item| match item {
            Item::Text(text) => Some(text.clone()),
            _ => None,
        };
        self.list(name).iter().filter_map(text).collect()
    }

    /// Every section within, by name.
    pub(super) fn sections(&self) -> impl Iterator<Item = (&str, &Section)> {
        self.0.iter().filter_map(|(name, item)| match item {
            Item::Section(section) => Some((name.as_str(), section)),
            _ => None,
        })
    }
}

/// Parses a whole text.
pub(super) fn parse(bytes: &[u8]) -> Result<Section, String> {
    let end = bytes.iter().position(|byte| *byte == 0).unwrap_or(bytes.len());
    let mut parser = Parser { rest: bytes.get(..end).unwrap_or(bytes), all: end, items: 0 };
    let section = parser.section(0)?;
    parser.skip();
    if parser.rest.is_empty() { Ok(section) } else { Err(parser.wrong("an item")) }
}

struct Parser<'a> {
    rest: &'a [u8],
    all: usize,
    items: usize,
}

impl Parser<'_> {
    fn wrong(&self, expected: &str) -> String {
        let at = self.all.saturating_sub(self.rest.len());
        format!("LVM metadata: {expected} is expected at byte {at}")
    }

    fn advance(&mut self, count: usize) {
        self.rest = self.rest.get(count..).unwrap_or(&[]);
    }

    /// Passes over blanks and comments.
    fn skip(&mut self) {
        loop {
            let blanks = self.rest.iter().take_while(|byte| byte.is_ascii_whitespace()).count();
            self.advance(blanks);
            if self.rest.first() != Some(&b'#') {
                return;
            }
            let line = self.rest.iter().take_while(|byte| **byte != b'\n').count();
            self.advance(line);
        }
    }

    /// Takes this letter if it is next.
    fn take(&mut self, letter: u8) -> bool {
        self.skip();
        let is_next = self.rest.first() == Some(&letter);
        if is_next {
            self.advance(1);
        }
        is_next
    }

    fn count(&mut self) -> Result<(), String> {
        self.items = self.items.saturating_add(1);
        if self.items > MOST_ITEMS {
            return Err(format!("LVM metadata has more than {MOST_ITEMS} items"));
        }
        Ok(())
    }

    /// Items up to a closing brace or the end, neither of which is taken.
    fn section(&mut self, depth: usize) -> Result<Section, String> {
        if depth > MOST_DEPTH {
            return Err(format!("LVM metadata is nested more than {MOST_DEPTH} deep"));
        }
        let mut items = Vec::new();
        loop {
            self.skip();
            if matches!(self.rest.first(), None | Some(b'}')) {
                return Ok(Section(items));
            }
            self.count()?;
            let length = self
                .rest
                .iter()
                .take_while(|byte| !byte.is_ascii_whitespace() && !b"={}#\"".contains(byte))
                .count();
            if length == 0 {
                return Err(self.wrong("a name"));
            }
            let name = String::from_utf8_lossy(self.rest.get(..length).unwrap_or(&[])).into_owned();
            self.advance(length);
            if self.take(b'{') {
                let inner = self.section(depth.saturating_add(1))?;
                if !self.take(b'}') {
                    return Err(self.wrong("a closing brace"));
                }
                items.push((name, Item::Section(inner)));
            } else if self.take(b'=') {
                let value = self.value()?;
                items.push((name, value));
            } else {
                return Err(self.wrong("a value or a section"));
            }
        }
    }

    fn value(&mut self) -> Result<Item, String> {
        if !self.take(b'[') {
            return self.scalar();
        }
        let mut list = Vec::new();
        while !self.take(b']') {
            self.count()?;
            list.push(self.scalar()?);
            self.take(b',');
        }
        Ok(Item::List(list))
    }

    fn scalar(&mut self) -> Result<Item, String> {
        self.skip();
        if self.take(b'"') {
            return self.quoted();
        }
        let length = self
            .rest
            .iter()
            .take_while(|byte| byte.is_ascii_digit() || b"-+.".contains(byte))
            .count();
        let digits = self.rest.get(..length).unwrap_or(&[]);
        let number = std::str::from_utf8(digits).ok().and_then(|digits| digits.parse().ok());
        let Some(number) = number else { return Err(self.wrong("a number or a string")) };
        self.advance(length);
        Ok(Item::Number(number))
    }

    /// A string behind its opening quote.
    fn quoted(&mut self) -> Result<Item, String> {
        let mut raw = Vec::new();
        let mut letters = self.rest.iter();
        let mut taken = 0_usize;
        while let Some(letter) = letters.next() {
            taken = taken.saturating_add(1);
            match letter {
                b'"' => {
                    self.advance(taken);
                    return Ok(Item::Text(String::from_utf8_lossy(&raw).into_owned()));
                }
                b'\\' => {
                    raw.extend(letters.next());
                    taken = taken.saturating_add(1);
                }
                other => raw.push(*other),
            }
        }
        Err(self.wrong("a closing quote"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_as_lvm_writes_it() {
        let text = b"vg {\n\tid = \"a\\\"b\"\t# c\n\tn = -5\n\tl = [\"x\", 0,\n\"y\", 1]\n\te = []\n}\nversion = 1\n\0junk";
        let root = parse(text).unwrap();
        let vg = root.section("vg").unwrap();
        assert_eq!((vg.text("id"), vg.number("n")), (Some("a\"b"), Some(-5)));
        assert_eq!((vg.list("l").len(), vg.texts("l").len(), vg.list("e").len()), (4, 2, 0));
        assert_eq!(root.count("version"), Some(1));
    }

    #[test]
    fn hostile_texts_end() {
        assert!(parse("a{".repeat(100_000).as_bytes()).is_err());
        assert!(parse("a=[".repeat(100_000).as_bytes()).is_err());
        assert!(parse("a=1 ".repeat(500_000).as_bytes()).is_err());
        for text in ["a", "a=", "a=\"", "a={", "a=[1", "}", "a=1}", "=", "a=\"\\"] {
            assert!(parse(text.as_bytes()).is_err(), "{text}");
        }
    }
}
