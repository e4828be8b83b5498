//! Stories, of our own and from a folder.

use std::path::Path;

use serde_json::Value;
use weir_wire::h2::hpack::Decoder;

use super::pairs::{Fields, Parties, decode};

/// A head, and the sizes of the table that were set before it.
struct Step {
    tables: Vec<u32>,
    head: Fields,
    /// The block of the implementation that the story is of.
    wire: Option<Vec<u8>>,
}

fn our_own() -> Vec<(String, Vec<Step>)> {
    let mut stories: Vec<(String, Vec<Step>)> = Vec::new();
    let mut step = Step { tables: Vec::new(), head: Fields::new(), wire: None };
    let text = include_str!("stories.txt");
    for line in text.lines().filter(|line| !line.starts_with('#')).chain([""]) {
        if let Some(name) = line.strip_prefix('[') {
            stories.push((name.trim_end_matches(']').to_owned(), Vec::new()));
        } else if let Some(size) = line.strip_prefix("! table ") {
            step.tables.push(size.parse().expect("a size"));
        } else if let Some((name, value)) = line.split_once(": ") {
            step.head.push((name.into(), value.into()));
        } else if !step.head.is_empty() {
            let whole = std::mem::take(&mut step.head);
            let tables = std::mem::take(&mut step.tables);
            let (_, steps) = stories.last_mut().expect("it has a name");
            steps.push(Step { tables, head: whole, wire: None });
        }
    }
    stories
}

/// Sends a story between all parties; returns the lengths of names and values, and of our blocks.
fn run(name: &str, steps: &[Step]) -> (usize, usize) {
    let (mut parties, mut decoder) = (Parties::new(4096), Decoder::new(4096));
    let (mut raw, mut packed, mut turn) = (0, 0, 0);
    for (at, step) in steps.iter().enumerate() {
        for &size in &step.tables {
            parties.set_table(size);
            decoder.set_size(size);
        }
        if let Some(wire) = &step.wire {
            assert_eq!(decode(&mut decoder, wire), step.head, "{name}, block {at}");
        }
        packed += parties.send(&step.head, |bound| {
            turn += 1;
            // What would never be indexed is left to the random pairs.
            if bound == 16 { 1 } else { turn % bound }
        });
        raw += step.head.iter().map(|(name, value)| name.len() + value.len()).sum::<usize>();
    }
    (raw, packed)
}

#[test]
fn our_own_stories() {
    let stories = our_own();
    assert!(stories.len() >= 5);
    for (name, steps) in stories {
        assert!(steps.len() > 1, "{name}");
        let (raw, packed) = run(&name, &steps);
        assert!(packed < raw, "{name}: {packed} of {raw}");
    }
}

/// Every story of the folder decodes, and its heads make the round with all parties.
#[test]
fn stories_of_a_folder() {
    let Some(folder) = std::env::var_os("WEIR_HPACK_STORIES") else { return };
    let (mut stories, mut blocks, mut sum) = (0, 0, (0, 0));
    for set in std::fs::read_dir(folder).expect("a folder") {
        let set = set.expect("an entry").path();
        let Ok(files) = std::fs::read_dir(&set) else { continue };
        for file in files {
            let path = file.expect("an entry").path();
            if path.extension().is_some_and(|extension| extension == "json") {
                let steps = read(&path);
                let (raw, packed) = run(&path.display().to_string(), &steps);
                (stories, blocks) = (stories + 1, blocks + steps.len());
                sum = (sum.0 + raw, sum.1 + packed);
            }
        }
    }
    assert!(stories > 0, "there are stories");
    eprintln!("{stories} stories, {blocks} blocks; {} bytes of fields in {}", sum.0, sum.1);
}

fn read(path: &Path) -> Vec<Step> {
    let text = std::fs::read(path).expect("a file");
    let story: Value = serde_json::from_slice(&text).expect("JSON");
    let cases = story["cases"].as_array().expect("cases");
    let steps = cases.iter().map(|case| Step {
        tables: case["header_table_size"].as_u64().into_iter().map(|size| size as u32).collect(),
        head: case["headers"].as_array().into_iter().flatten().flat_map(fields).collect(),
        wire: case["wire"].as_str().map(bytes),
    });
    steps.collect()
}

fn fields(object: &Value) -> Fields {
    let pairs = object.as_object().expect("a field").iter();
    let text = |value: &Value| value.as_str().expect("text").as_bytes().to_vec();
    pairs.map(|(name, value)| (name.as_bytes().to_vec(), text(value))).collect()
}

fn bytes(hex: &str) -> Vec<u8> {
    let pair = |at| u8::from_str_radix(&hex[at..at + 2], 16).expect("hex");
    (0..hex.len()).step_by(2).map(pair).collect()
}
