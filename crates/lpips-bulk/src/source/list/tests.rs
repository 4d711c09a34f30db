use std::io::Cursor;
use std::sync::mpsc;

use super::*;

fn list(text: &[u8], options: Options) -> Result<List> {
    List::read(Path::new("list"), Cursor::new(text.to_vec()), options)
}

/// The names of the rows, or the first error.
fn rows(text: &[u8]) -> Result<Vec<String>, String> {
    let show = |pair: Pair| {
        let inputs = [Some(pair.reference), Some(pair.candidate), pair.second].into_iter().flatten();
        format!(
            "{} {}",
            pair.index,
            inputs.map(|input| input.name().display().to_string()).collect::<Vec<_>>().join(" ")
        )
    };
    let list = list(text, Options::default()).map_err(|error| error.to_string())?;
    list.map(|pair| pair.map(show).map_err(|error| error.to_string())).collect()
}

#[test]
fn csv_list_is_read_with_and_without_names() {
    assert_eq!(rows(b"a.png,b.png\nc.png,d.png\n").unwrap(), ["0 a.png b.png", "1 c.png d.png"]);
    assert_eq!(rows(b"a.png, b.png, c.png").unwrap(), ["0 a.png b.png c.png"]);
    let named = b"\xef\xbb\xbf\n\nid,P0,Reference,note\n1,b.png,\"a, \"\"1\"\".png\",x\n\n2,d.png,c.png\n";
    assert_eq!(rows(named).unwrap(), ["0 a, \"1\".png b.png", "1 c.png d.png"]);
    assert_eq!(rows(b"ref,p0,p1,judge\r\na,b,c,0.5\r\n").unwrap(), ["0 a b c"]);
}

#[test]
fn json_lines_list_is_read_by_keys() {
    let text = b"\xef\xbb\xbf \n{\"reference\": \"a\\n.png\", \"candidate\": \"b\", \"distance\": 0.5}\n\n{\"B\":\"d\",\"a\":\"c\",\"c\":null}";
    assert_eq!(rows(text).unwrap(), ["0 a\n.png b", "1 c d"]);
    assert_eq!(rows(b"{\"ref\":\"a\",\"p1\":\"c\",\"p0\":\"b\"}").unwrap(), ["0 a b c"]);
}

#[test]
fn list_error_names_the_line() {
    for (text, expected) in [
        ("", "list: holds no pairs"),
        ("\n \n", "list: holds no pairs"),
        ("reference,candidate\n", "list: holds no pairs"),
        ("a.png\n", "list:1: has 1 column without names: expected two"),
        ("p0,p1,same\nx,y,1", "list:1: does not name the reference: expected reference, ref or a"),
        ("x,y,z,w", "list:1: has 4 columns without names"),
        ("\nref,p1,second\n", "list:2: does not name the candidate: expected candidate, p0 or b"),
        ("ref,a,b\n", "list:1: names the reference twice, as ref and as a"),
        ("x,y\nx,y\n\nx,y,z\n", "list:4: has 3 columns, and the first row 2: put names with commas in quotes"),
        ("ref,p0,p1\nx,y,z\nx,y\n", "list:3: lacks the second"),
        ("ref,p0\nx,\n", "list:2: lacks the candidate"),
        ("{\"a\":\"x\",\"b\":\"y\"}\n\nx,y", "list:3: is no JSON"),
        ("{\"a\":\"x\",\"b\":\"y\"}\n[1]", "list:2: is no JSON object: expected {\"reference\""),
        ("{\"a\":\"x\"}", "list:1: does not name the candidate"),
        ("{\"a\":\"x\",\"b\":1}", "list:1: has a b that is no path"),
        (
            "{\"a\":\"x\",\"b\":\"y\"}\n{\"a\":\"x\",\"b\":\"y\",\"c\":\"z\"}",
            "list:2: is a triplet, and the first row a pair",
        ),
        (
            "{\"a\":\"x\",\"b\":\"y\",\"c\":\"z\"}\n{\"a\":\"x\",\"b\":\"y\"}",
            "list:2: is a pair, and the first row a triplet",
        ),
    ] {
        let error = rows(text.as_bytes()).expect_err(text);
        assert!(error.starts_with(expected), "{text:?}: {error}");
    }
    let long = format!("{{\"a\":\"{}\"}}", "x".repeat(lpips_data::records::LONGEST));
    assert!(rows(long.as_bytes()).unwrap_err().starts_with("list:1: is too long"));
    assert!(rows(b"{\"a\":\"x\",\"b\":\"y\"}\n{\"a\":\"\xff\"").unwrap_err().starts_with("list:2: is not in UTF-8"));
    let mut broken = list(b"x,y\nz\nx,y\n", Options::default()).unwrap();
    assert!(broken.next().unwrap().is_ok() && broken.next().unwrap().is_err() && broken.next().is_none());
}

#[test]
fn list_format_is_given_or_known_by_extension() {
    let folder = tempfile::tempdir().unwrap();
    let write = |name: &str, text: &str| {
        std::fs::write(folder.path().join(name), text).unwrap();
        folder.path().join(name)
    };
    let open = |path: &Path, format| List::open(path, Options { format, root: None }).map(|list| list.triplets());
    let json = "{\"a\":\"x\",\"b\":\"y\",\"c\":\"z\"}";
    assert!(open(&write("l.jsonl", json), None).unwrap() && open(&write("l.txt", json), None).unwrap());
    assert!(!open(&write("l.csv", "{x,y\n"), None).unwrap(), "a name that begins with a brace");
    assert!(!open(&write("l", "{x,y\n"), Some(Format::Csv)).unwrap());
    let error = open(&write("array.jsonl", "\n[{}]"), None).unwrap_err().to_string();
    assert!(error.ends_with("array.jsonl:2: is a JSON array: expected one object a line"), "{error}");
    assert!(open(folder.path(), None).unwrap_err().to_string().contains("is a folder: expected a list"));
    assert!(open(&folder.path().join("no.csv"), None).unwrap_err().to_string().contains("there is no such file"));
}

#[test]
fn list_paths_start_from_the_root_and_may_have_any_bytes() {
    let options = || Options { format: None, root: Some("root".into()) };
    let mut pairs = list(b"s/x.png,/abs/y.png\n", options()).unwrap();
    let pair = pairs.next().unwrap().unwrap();
    assert_eq!(pair.reference.name(), Path::new("root/s/x.png"));
    assert_eq!(pair.candidate.name(), Path::new("/abs/y.png"));
    #[cfg(unix)]
    {
        use std::os::unix::ffi::OsStrExt;
        let mut pairs = list(b"\xff.png,\xef\xbb.png\n", Options::default()).unwrap();
        let pair = pairs.next().unwrap().unwrap();
        assert_eq!(pair.reference.name().as_os_str().as_bytes(), b"\xff.png");
        assert_eq!(pair.candidate.name().as_os_str().as_bytes(), b"\xef\xbb.png");
    }
}

/// A pipe that stays open and fails where it is read too far.
struct Pipe(mpsc::Receiver<&'static [u8]>);

impl Read for Pipe {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let Ok(piece) = self.0.try_recv() else { return Err(io::Error::other("read too far")) };
        buffer[..piece.len()].copy_from_slice(piece);
        Ok(piece.len())
    }
}

#[test]
fn list_row_is_available_as_soon_as_its_line_is() {
    for lines in [[&b"x,"[..], b"y\nz", b",w\n"], [b"{\"a\":\"x\",", b"\"b\":\"y\"}\n{\"a\"", b":\"z\",\"b\":\"w\"}\n"]]
    {
        let (sender, receiver) = mpsc::channel();
        sender.send(lines[0]).unwrap();
        sender.send(lines[1]).unwrap();
        let mut list = List::read(Path::new("pipe"), Pipe(receiver), Options::default()).unwrap();
        assert_eq!(list.next().unwrap().unwrap().candidate.name(), Path::new("y"));
        sender.send(lines[2]).unwrap();
        assert_eq!(list.next().unwrap().unwrap().candidate.name(), Path::new("w"));
        assert!(list.next().unwrap().unwrap_err().to_string().contains("read too far"));
    }
}
