//! Compact coding of the names in a report: of each name only the part that differs from the one before.

use serde::Serialize;

/// Character that codes a shared prefix of no UTF-16 units.
const NOTHING: u8 = b']';
/// Longest shared prefix: the characters from [`NOTHING`] on that JSON writes without an escape.
const MOST_SHARED: usize = (b'~' - NOTHING) as usize;

/// A column of coded names.
#[derive(Debug, PartialEq, Serialize)]
pub(super) struct Column {
    folder: String,
    names: Vec<NameCode>,
}

/// A name, relative to the name before in the same column.
#[derive(Debug, PartialEq, Serialize)]
#[serde(untagged)]
enum NameCode {
    /// 0: equal to the reference's name.
    AsReference(u8),
    /// The first character codes the number of shared UTF-16 units, as an offset from [`NOTHING`]; the rest of the name
    /// follows.
    Name(String),
}

/// A column of names.
pub(super) struct Names {
    names: Vec<String>,
    /// Bytes of the folder that all names share.
    folder: usize,
}

impl Names {
    pub(super) fn of(names: Vec<String>) -> Self {
        let mut common = names.first().map_or("", String::as_str);
        for name in &names {
            common = &common[..common_prefix(common, name).map(char::len_utf8).sum()];
        }
        let folder = common.rfind(['/', std::path::MAIN_SEPARATOR]).map_or(0, |at| at + 1);
        Self { names, folder }
    }

    fn rest(&self, at: usize) -> &str {
        &self.names[at][self.folder..]
    }

    /// Codes the names, relative to each other and to the references in the same rows.
    pub(super) fn coded(&self, references: Option<&Self>) -> Column {
        let mut before = "";
        let code = |at: usize| {
            let name = self.rest(at);
            let shared = shared(before, name);
            before = name;
            if references.is_some_and(|references| references.rest(at) == name) {
                return NameCode::AsReference(0);
            }
            let units = shared.encode_utf16().count() as u8;
            NameCode::Name(format!("{}{}", char::from(NOTHING + units), &name[shared.len()..]))
        };
        let names = (0..self.names.len()).map(code).collect();
        Column { folder: self.names.first().map_or("", |name| &name[..self.folder]).to_string(), names }
    }
}

/// The common prefix of two texts.
fn common_prefix(a: &str, b: &str) -> impl Iterator<Item = char> {
    a.chars().zip(b.chars()).take_while(|(a, b)| a == b).map(|(a, _)| a)
}

/// The prefix that a name shares with the one before, up to the longest that can be coded.
fn shared<'a>(before: &str, name: &'a str) -> &'a str {
    let mut units = 0;
    let counted = common_prefix(before, name).take_while(|c| {
        units += c.len_utf16();
        units <= MOST_SHARED
    });
    &name[..counted.map(char::len_utf8).sum()]
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Decodes names as the page's script does.
    fn decoded(column: &Column, references: &[String]) -> Vec<String> {
        let mut before: Vec<u16> = Vec::new();
        let name = |(at, coded): (usize, &NameCode)| {
            match coded {
                NameCode::AsReference(_) => before = references[at].encode_utf16().collect(),
                NameCode::Name(text) => {
                    let units: Vec<u16> = text.encode_utf16().collect();
                    before.truncate(usize::from(units[0] - u16::from(NOTHING)));
                    before.extend(&units[1..]);
                }
            }
            String::from_utf16(&before).unwrap()
        };
        column.names.iter().enumerate().map(name).collect()
    }

    #[test]
    fn name_coding_roundtrip() {
        let long = "x".repeat(100);
        let names = ["out/a/001.png", "out/a/002.png", "out/a/é😀.png", "out/a/é😁.png", "out/", "out/\n\"</script>"];
        let names: Vec<String> =
            names.map(String::from).into_iter().chain([format!("out/{long}1"), format!("out/{long}2")]).collect();
        let column = Names::of(names.clone()).coded(None);
        assert_eq!(column.folder, "out/");
        let back = decoded(&column, &[]);
        assert_eq!(back.iter().map(|name| format!("out/{name}")).collect::<Vec<_>>(), names);
        assert_eq!(column.names[1], NameCode::Name("a2.png".into()), "a/00 is shared");
    }

    #[test]
    fn name_coding_of_a_candidate_named_as_its_reference_is_0() {
        let names = |names: &[&str]| Names::of(names.iter().map(ToString::to_string).collect());
        let references = names(&["gt/a.png", "gt/b.png", "gt/c.png"]);
        let column = names(&["/tmp/out/a.png", "/tmp/out/b.png", "/tmp/out/d.png"]).coded(Some(&references));
        assert_eq!(column.names[..2], [NameCode::AsReference(0), NameCode::AsReference(0)]);
        let own = ["a.png", "b.png", "c.png"].map(String::from);
        assert_eq!(decoded(&column, &own), ["a.png", "b.png", "d.png"]);
        assert_eq!(column.folder, "/tmp/out/");
    }
}
