//! `lpips report` through the real binary, and its pages in a browser.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)] // A test fails by panicking.

mod support;

use std::fmt::Write as _;
use std::path::Path;
use std::process::Output;

use serde_json::{Value, json};
use support::browser::{Browser, DOWN, END, ENTER, ESCAPE, RIGHT};
use support::{Sandbox, picture, stderr, stdout};

fn run(sandbox: &Sandbox, arguments: &[&str]) -> Output {
    sandbox.lpips(&[&["report"], arguments].concat()).output().unwrap()
}

fn succeeded(sandbox: &Sandbox, arguments: &[&str]) -> String {
    let output = run(sandbox, arguments);
    assert!(output.status.success(), "{arguments:?}: {}", stderr(&output));
    stdout(&output)
}

fn refused(sandbox: &Sandbox, arguments: &[&str], code: i32) -> String {
    let output = run(sandbox, arguments);
    let text = stderr(&output);
    assert_eq!(output.status.code(), Some(code), "{arguments:?}: {text}");
    assert!(output.stdout.is_empty() && !text.contains("panicked") && text.lines().count() == 1, "{text}");
    text
}

/// 24 pairs in two folders, with two metrics whose distances grow with the number; one pair failed, and of another the
/// candidate is missing.
fn pairs(sandbox: &Sandbox) {
    let mut lines = String::new();
    for i in 0..24u32 {
        let folder = if i % 3 == 0 { "day" } else { "night" };
        let [reference, candidate] = ["gt", "out"].map(|root| format!("{root}/{folder}/{i:03}.png"));
        for file in [&reference, &candidate] {
            std::fs::create_dir_all(sandbox.path(file).parent().unwrap()).unwrap();
        }
        let whole = picture(96, 72, i);
        let mut marred = whole.clone();
        for (x, y, pixel) in marred.enumerate_pixels_mut() {
            if x > 50 && y < 40 {
                let off = ((x * 7 + y * 13) % 17) as i32 * i as i32 / 4;
                pixel.0 = pixel.0.map(|v| (i32::from(v) + off).min(255) as u8);
            }
        }
        whole.save(sandbox.path(&reference)).unwrap();
        marred.save(sandbox.path(&candidate)).unwrap();
        let mut row = json!({ "index": i, "reference": reference, "candidate": candidate });
        if i == 9 {
            row["error"] = json!("out/day/009.png: is damaged: the file ends too early");
        } else {
            let distance = f64::from(i * i) / 1200.0;
            row["distance"] = json!(distance);
            row["distances"] = json!({ "alex": distance, "l2": f64::from(i) / 9000.0 });
        }
        writeln!(lines, "{row}").unwrap();
    }
    sandbox.write("results.jsonl", lines);
    std::fs::remove_file(sandbox.path("out/night/022.png")).unwrap();
}

fn open(browser: &Browser, page: &Path) {
    browser.open(&format!("file://{}", page.display()));
    browser.wait("document.querySelectorAll('#lines tr').length > 2");
}

/// The names in the rows of the table that are in the document.
fn names(browser: &Browser) -> Vec<String> {
    let shown = "return [...document.querySelectorAll('#lines tr[id]')].map(row => row.cells[1].textContent)";
    serde_json::from_value(browser.run(shown)).unwrap()
}

fn quiet(browser: &Browser) {
    let loaded = "return performance.getEntriesByType('resource').filter(r => !r.name.startsWith('data:')).length";
    assert_eq!(browser.run(loaded), 0, "nothing is fetched");
    assert_eq!(browser.console(), Vec::<String>::new());
}

fn no_sideways(browser: &Browser) {
    let page = "return [document.documentElement.scrollWidth, innerWidth]";
    let widths: Vec<u64> = serde_json::from_value(browser.run(page)).unwrap();
    assert!(widths[0] <= widths[1], "{widths:?}");
}

#[test]
fn report_page_shows_pairs_in_a_viewer() {
    let Some(browser) = Browser::start() else { return };
    let sandbox = Sandbox::new();
    pairs(&sandbox);
    let output = run(&sandbox, &["results.jsonl", "--worst", "6", "--sample", "5", "--title", "Day & night"]);
    assert!(output.status.success(), "{}", stderr(&output));
    assert_eq!(stdout(&output), "results.html\n");
    assert!(stderr(&output).contains("the pictures of 1 of 11 pairs can't be shown"), "{}", stderr(&output));
    open(&browser, &sandbox.path("results.html"));
    assert_eq!(browser.text("h1"), "Day & night");
    let summary = browser.text("#summary");
    for expected in ["alex", "l2", "23", "0.44083", "0.0025556"] {
        assert!(summary.contains(expected), "{expected} in {summary}");
    }
    assert!(browser.text("#failures").starts_with("1 pair of 24 failed"));
    assert_eq!(browser.run("return document.querySelectorAll('#histograms svg').length"), 2);
    let folders = browser.text("#folders");
    assert!(folders.find("night").unwrap() < folders.find("day").unwrap(), "the farther first: {folders}");
    assert_eq!(browser.run("return document.querySelectorAll('.card').length"), 11);
    browser.screenshot("report-light");

    browser.click(".card");
    browser.wait("document.getElementById('viewer').open");
    let seen = "[...document.querySelectorAll('#side img')].every(i => i.complete && i.naturalWidth === 96 && i.alt)";
    browser.wait(seen);
    assert_eq!(browser.text("#viewer-title"), "night/023.png");
    assert_eq!(browser.text("#viewer-place"), "1 of 6, the worst by alex");
    let details = browser.text("#details");
    for expected in ["0.44083", "gt/night/023.png", "out/night/023.png", "96 × 72"] {
        assert!(details.contains(expected), "{expected} in {details}");
    }
    browser.screenshot("report-viewer-side");
    browser.press(RIGHT);
    assert_eq!(browser.text("#viewer-place"), "2 of 6, the worst by alex");
    assert!(browser.text("#problem").contains("out/night/022.png"), "gone since: {}", browser.text("#problem"));
    browser.press("j");
    assert_eq!(browser.text("#viewer-title"), "day/021.png");
    assert!(!browser.run("return document.getElementById('looking').hidden").as_bool().unwrap());

    let clip = "return getComputedStyle(document.getElementById('over-candidate')).clipPath";
    browser.press("2");
    assert_eq!(browser.run(clip), "inset(0px 0px 0px 50%)");
    browser.run("document.getElementById('slider').focus()");
    browser.press(RIGHT);
    assert_eq!(browser.run(clip), "inset(0px 0px 0px 50.5%)", "the slider handles its arrow keys");
    assert_eq!(browser.text("#viewer-title"), "day/021.png");
    browser.drag("#stage", 0.0, -0.3);
    let left: f64 = serde_json::from_value(browser.run("return Number(slider.value)")).unwrap();
    assert!((19.0..21.0).contains(&left), "{left}");
    browser.screenshot("report-viewer-slider");

    let is_reference = "document.getElementById('over-candidate').hidden";
    browser.press("3");
    browser.wait(is_reference);
    assert_eq!(browser.text("#blinking"), "Reference");
    browser.wait(&format!("!{is_reference}"));
    browser.click("#pause");
    let before = browser.run(&format!("return {is_reference}"));
    browser.run("document.activeElement.blur()");
    browser.press(" ");
    assert_ne!(browser.run(&format!("return {is_reference}")), before, "swapped by hand");
    browser.screenshot("report-viewer-blink");
    browser.click("[data-mode=side]");
    browser.press(ESCAPE);
    browser.wait("!document.getElementById('viewer').open");
    assert_eq!(
        browser.run("return document.querySelector('tr[aria-selected=true]').cells[1].textContent"),
        "day/021.png"
    );

    let ground = "return getComputedStyle(document.body).backgroundColor";
    let light = browser.run(ground);
    browser.click("#theme");
    assert_ne!(browser.run(ground), light);
    browser.screenshot("report-dark");
    browser.click(".card");
    browser.wait(seen);
    browser.screenshot("report-viewer-dark");
    browser.resize(390, 844);
    browser.wait("document.getElementById('viewer').scrollWidth <= innerWidth");
    browser.screenshot("report-viewer-narrow");
    browser.press(ESCAPE);
    no_sideways(&browser);
    browser.screenshot("report-narrow-dark");
    browser.click("#theme");
    browser.run("document.getElementById('rows-title').scrollIntoView()");
    browser.screenshot("report-narrow");
    quiet(&browser);
}

#[test]
fn report_table_is_sorted_filtered_and_navigated_by_keys() {
    let Some(browser) = Browser::start() else { return };
    let sandbox = Sandbox::new();
    pairs(&sandbox);
    succeeded(&sandbox, &["results.jsonl", "--no-pictures", "--out", "page.html"]);
    open(&browser, &sandbox.path("page.html"));
    let head = |at: usize| format!("#heads th:nth-child({at}) button");
    let sort = |at: usize| browser.run(&format!("return document.querySelectorAll('#heads th')[{}].ariaSort", at - 1));
    // Names that candidates have too stand in one column; the farthest comes first, what failed last.
    assert_eq!(
        (names(&browser).len(), names(&browser)[0].as_str(), sort(3)),
        (24, "night/023.png", "descending".into())
    );
    assert_eq!(names(&browser)[23], "day/009.png");
    browser.click(&head(2));
    assert_eq!((names(&browser)[0].as_str(), sort(2), sort(3)), ("day/000.png", "ascending".into(), Value::Null));
    browser.press(ENTER);
    assert_eq!((names(&browser)[0].as_str(), sort(2)), ("night/023.png", "descending".into()), "by the keyboard");
    browser.click(&head(4));
    browser.click(&head(4));
    assert_eq!((names(&browser)[0].as_str(), sort(4)), ("day/000.png", "ascending".into()));
    assert_eq!(names(&browser)[23], "day/009.png", "what failed is last either way");

    let selected = || browser.run("return document.querySelector('tr[aria-selected=true]')?.cells[1].textContent");
    browser.press("j");
    browser.press("j");
    browser.press(DOWN);
    browser.press("k");
    assert_eq!(selected(), "night/001.png");
    let active =
        "return document.getElementById(document.activeElement.getAttribute('aria-activedescendant')).ariaSelected";
    assert_eq!(browser.run(active), "true", "said to those who can't see it");
    browser.press(END);
    assert_eq!(selected(), "day/009.png");
    browser.press(ENTER);
    browser.wait("document.getElementById('viewer').open");
    assert!(browser.text("#problem").contains("is damaged: the file ends too early"));
    browser.press("k");
    assert_eq!(browser.text("#viewer-title"), "night/023.png");
    browser.press(ESCAPE);
    assert_eq!(selected(), "night/023.png", "the table goes along");

    browser.press("/");
    browser.write("#filter", "NIGHT /02");
    assert_eq!(names(&browser), ["night/020.png", "night/022.png", "night/023.png"]);
    assert_eq!(browser.text("#count"), "3 of 24 pairs");
    browser.press(ENTER);
    browser.press("j");
    assert_eq!(selected(), "night/023.png", "what was selected is still there: it is the last");
    browser.click("#filter");
    browser.press(ESCAPE);
    assert_eq!(names(&browser).len(), 24);
    browser.write("#filter-low", "0.1");
    browser.write("#filter-high", "0.2");
    assert_eq!(names(&browser), ["night/011.png", "day/012.png", "night/013.png", "night/014.png", "day/015.png"]);
    browser.click("#clear");
    browser.click("#failures button");
    assert_eq!(names(&browser), ["day/009.png"]);
    assert!(browser.text("#lines").contains("ends too early"));
    browser.run("document.querySelectorAll('#histograms figure')[1].querySelector('g:last-of-type').dispatchEvent(new Event('click'))");
    assert_eq!(names(&browser), ["night/023.png"], "a bar of l2 narrows the table to itself");
    browser.click("#folders button");
    assert_eq!(names(&browser).len(), 16);
    browser.run("document.activeElement.blur()");
    browser.press("?");
    browser.wait("document.getElementById('keys').open");
    browser.screenshot("report-keys");
    browser.press(ESCAPE);
    quiet(&browser);
}

#[test]
fn report_of_100_000_rows_stays_usable() {
    let Some(browser) = Browser::start() else { return };
    let sandbox = Sandbox::new();
    let mut lines = String::from("index,reference,candidate,alex,vgg,error\n");
    for i in 0..100_000u64 {
        let (folder, random) = (i / 500, i.wrapping_mul(6_364_136_223_846_793_005) >> 40);
        let name = format!("scene{folder:04}/left/frame_{i:06}.png");
        let alex = (random as f64 / (1 << 24) as f64).powi(2) * 0.8;
        if i % 5000 == 77 {
            writeln!(lines, "{i},/data/gt/{name},/data/out/{name},,,out of luck").unwrap();
        } else {
            writeln!(lines, "{i},/data/gt/{name},/data/out/{name},{alex},{},", alex * 0.7 + 0.1).unwrap();
        }
    }
    sandbox.write("many.csv", lines);
    succeeded(&sandbox, &["many.csv", "--no-pictures", "--timeline"]);
    let bytes = std::fs::metadata(sandbox.path("many.html")).unwrap().len();
    assert!(bytes < 6 << 20, "{bytes} bytes");
    open(&browser, &sandbox.path("many.html"));
    let in_document = || browser.run("return document.querySelectorAll('#lines tr').length").as_u64().unwrap();
    assert_eq!(browser.text("#count"), "100,000 pairs");
    assert!(in_document() < 100);
    browser.screenshot("report-many");
    browser.run("document.getElementById('scroller').scrollTop = 50_000 * 32");
    browser.wait("document.querySelector('#lines tr[id]').ariaRowIndex > 49_900");
    assert!(in_document() < 100);
    browser.click("#heads th:nth-child(2) button");
    assert_eq!(names(&browser)[0], "scene0000/left/frame_000000.png");
    browser.run("document.getElementById('grid').focus()");
    browser.press(END);
    browser.wait("document.querySelector('tr[aria-selected=true]')?.textContent.includes('frame_099999.png')");
    let shown =
        "const [row, frame] = [document.querySelector('tr[aria-selected=true]'), document.getElementById('scroller')]
        .map(element => element.getBoundingClientRect()); return row.bottom <= frame.bottom && row.top >= frame.top";
    assert_eq!(browser.run(shown), true, "the last row is wholly visible");
    browser.write("#filter", "scene0123 7");
    browser.wait("document.getElementById('count').textContent === '176 of 100,000 pairs'");
    assert!(names(&browser).iter().all(|name| name.starts_with("scene0123/")));
    assert!(in_document() < 100);
    browser.run("document.getElementById('timeline-part').scrollIntoView()");
    browser.screenshot("report-timeline");
    quiet(&browser);
}

#[test]
fn report_page_neutralises_script_tags_in_names() {
    let Some(browser) = Browser::start() else { return };
    let sandbox = Sandbox::new();
    let long = format!("{}/{}.png", "very-long-folder".repeat(20), "n".repeat(200));
    let evil = [
        "<script>alert(1)</script>.png",
        "</script><script>window.harmed = 1</script>",
        "<img src=x onerror='window.harmed = 1'>.png",
        "\"quotes\" and 'more' & &amp;.png",
        "two\nlines\tand\r\nmore.png",
        "\u{202e}gnp.eman/שלום/\u{2067}مرحبا.png",
        "{{data}}${1}`.png",
        &long,
        "",
        "a//b///.png",
    ];
    let mut lines = String::new();
    for (i, name) in evil.iter().enumerate() {
        let row = json!({ "index": i, "reference": format!("gt/{name}"), "candidate": format!("{name}"), "distance": 0.1 * i as f64 });
        writeln!(lines, "{row}").unwrap();
        writeln!(
            lines,
            "{}",
            json!({ "index": 100 + i, "reference": name, "candidate": name, "error": format!("{name}: no") })
        )
        .unwrap();
    }
    sandbox.write("evil.jsonl", lines);
    succeeded(&sandbox, &["evil.jsonl", "--title", "</title><script>window.harmed = 1</script>"]);
    open(&browser, &sandbox.path("evil.html"));
    assert_eq!(browser.text("h1"), "</title><script>window.harmed = 1</script>");
    assert_eq!(browser.run("return document.title"), "</title><script>window.harmed = 1</script>");
    assert_eq!(browser.run("return [document.scripts.length, window.harmed ?? null]"), json!([2, null]));
    let all = browser.run("return document.getElementById('lines').textContent");
    let all = all.as_str().unwrap();
    for expected in
        ["<script>alert(1)</script>.png", "&amp;.png", "two␊lines␉and␍␊more.png", "⟨202e⟩gnp.eman", "{{data}}${1}`.png"]
    {
        assert!(all.contains(expected), "{expected} in {all}");
    }
    let heights = "return [...new Set([...document.querySelectorAll('#lines tr[id]')].map(row => row.offsetHeight))]";
    assert_eq!(browser.run(heights), json!([32]), "each on one line");
    no_sideways(&browser);
    browser.screenshot("report-names");
    browser.press("j");
    for _ in 0..20 {
        browser.press(ENTER);
        browser.press(RIGHT);
        no_sideways(&browser);
    }
    assert_eq!(browser.run("return [document.scripts.length, window.harmed ?? null]"), json!([2, null]));
    browser.press(ESCAPE);
    quiet(&browser);
}

#[test]
fn report_reads_triplets_and_unnamed_distances() {
    let sandbox = Sandbox::new();
    let line = r#"{"index":0,"reference":"r","candidate":"a","second":"b","distance":0.25,"second_distance":0.5}"#;
    sandbox.write("three.jsonl", format!("{line}\n"));
    sandbox.write("three.jsonl.run", r#"{"metrics":["vgg"]}"#);
    succeeded(&sandbox, &["three.jsonl", "--no-pictures"]);
    let page = std::fs::read_to_string(sandbox.path("three.html")).unwrap();
    assert!(page.contains(r#""vgg (second)""#) && page.contains(r#""distances":[[0.25],[0.5]]"#));
    let heads = "index,reference,candidate,second,alex,l2,second_alex,second_l2,alex.conv1,error\n";
    sandbox.write("three.csv", format!("{heads}0,r,a,b,0.5,0.125,0.75,0.25,0.5,\n1,r,c,d,,,,,,gone\n"));
    succeeded(&sandbox, &["three.csv", "--no-pictures"]);
    let page = std::fs::read_to_string(sandbox.path("three.html")).unwrap();
    assert!(page.contains(r#""distances":[[0.5,null],[0.75,null],[0.125,null],[0.25,null]]"#));
    sandbox.write("plain.csv", "reference,candidate,distance\na.png,b.png,0.5\n");
    succeeded(&sandbox, &["plain.csv", "--out", "plain.html"]);
    let page = std::fs::read_to_string(sandbox.path("plain.html")).unwrap();
    assert!(page.contains(r#""name":"distance""#) && page.contains("a.png: there is no such file"), "{page}");
}

#[test]
fn report_of_wrong_input_names_the_place() {
    let sandbox = Sandbox::new();
    let good = r#"{"index":0,"reference":"a.png","candidate":"b.png","distance":0.5}"#;
    sandbox.write("good.jsonl", format!("{good}\n"));
    sandbox.write("empty.jsonl", "");
    sandbox.write("cut.jsonl", format!("{good}\n\n{}\n", &good[..30]));
    sandbox.write(
        "lacks.jsonl",
        format!("{}\n{good}\n", good.replace(r#""distance":0.5"#, r#""distances":{"alex":1,"l2":2}"#)),
    );
    sandbox.write("heads.csv", "a,b\n1,2\n");
    sandbox.write("words.csv", "reference,candidate,alex\na,b,0.1\na,b,near\n");
    let check = |arguments: &[&str], code: i32, expected: &str| {
        let error = refused(&sandbox, arguments, code);
        assert!(error.contains(expected), "{arguments:?}: {error}");
    };
    check(&["none.jsonl"], 1, "none.jsonl: ");
    check(&["empty.jsonl"], 1, "empty.jsonl: holds no rows");
    check(&["cut.jsonl"], 1, "cut.jsonl:3: is no row of results");
    check(&["lacks.jsonl"], 1, "lacks.jsonl:2: lacks the distance of l2");
    check(&["heads.csv"], 1, "heads.csv:1: the first line does not name");
    check(&["words.csv"], 1, "words.csv:3: has 'near' in the column alex, which is no number");
    check(&["good.jsonl", "--out", "good.jsonl"], 2, "would be written over the results");
    check(&["good.jsonl", "--out", "no/where.html"], 1, "there is no such file or folder");
    check(&["good.jsonl", "--metric", "alexx"], 2, "did you mean alex?");
    assert!(!sandbox.path("good.html").exists());
}
