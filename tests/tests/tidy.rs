//! The map is true: every path that ARCHITECTURE.md and README.md name exists, every crate is on the map and depends only on crates
//! before it, no circle of imports has more than three files, no struct of the engine has more than twenty fields, every source file says
//! what it is, and every fuzz target is described.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use tern_tests::{files_below, root};

fn read(path: impl AsRef<Path>) -> String {
    let path = path.as_ref();
    std::fs::read_to_string(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// Words in backquotes that look like paths of this repository.
fn named_paths(text: &str) -> Vec<String> {
    let quoted = text.split('`').skip(1).step_by(2);
    let ours = |word: &&str| {
        [
            "crates/", "bin/", "bench/", "tests/", "fuzz/", "deploy/", "docs/", ".ci/",
        ]
        .iter()
        .any(|start| word.starts_with(start))
    };
    quoted
        .filter(ours)
        .filter(|word| !word.contains([' ', '*', '…']))
        .map(str::to_owned)
        .collect()
}

#[test]
fn every_path_on_the_map_exists() {
    let text = read(root().join("ARCHITECTURE.md"));
    let paths = named_paths(&text);
    assert!(paths.len() > 20, "the map names paths: {paths:?}");
    let missing: Vec<_> = paths
        .iter()
        .filter(|path| !root().join(path).exists())
        .collect();
    assert!(
        missing.is_empty(),
        "ARCHITECTURE.md names what is not there: {missing:?}"
    );
}

#[test]
fn every_link_of_the_readme_exists() {
    let text = read(root().join("README.md"));
    let targets = text
        .split("](")
        .skip(1)
        .filter_map(|rest| rest.split(')').next());
    let missing: Vec<_> = targets
        .filter(|target| !target.contains("://") && !root().join(target).exists())
        .collect();
    assert!(
        missing.is_empty(),
        "README.md links to what is not there: {missing:?}"
    );
}

/// The crates in the order of the map: (folder, package name).
fn layers() -> Vec<(String, String)> {
    let text = read(root().join("ARCHITECTURE.md"));
    let table = text
        .split("## Crates, lowest first")
        .nth(1)
        .expect("the list of crates");
    let table = table.split("\n## ").next().expect("a section");
    let rows = table
        .lines()
        .filter_map(|line| line.strip_prefix("| `")?.split('`').next());
    rows.map(|folder| (folder.to_owned(), package_name(&root().join(folder))))
        .collect()
}

fn package_name(folder: &Path) -> String {
    let manifest = read(folder.join("Cargo.toml"));
    let name = manifest
        .lines()
        .find_map(|line| line.strip_prefix("name = "))
        .expect("a package has a name");
    name.trim_matches('"').to_owned()
}

#[test]
fn every_crate_depends_only_on_crates_before_it() {
    let layers = layers();
    let rank: BTreeMap<&str, usize> = layers
        .iter()
        .enumerate()
        .map(|(rank, (_, name))| (name.as_str(), rank))
        .collect();
    for (folder, name) in &layers {
        let manifest = read(root().join(folder).join("Cargo.toml"));
        let dependencies = manifest
            .split("\n[dependencies]")
            .nth(1)
            .unwrap_or_default();
        let dependencies = dependencies.split("\n[").next().unwrap_or_default();
        for line in dependencies.lines() {
            let word: String = line
                .chars()
                .take_while(|letter| letter.is_alphanumeric() || matches!(letter, '-' | '_'))
                .collect();
            if let Some(below) = rank.get(word.as_str()) {
                assert!(
                    *below < rank[name.as_str()],
                    "{name} depends on {word}, which is not below it"
                );
            }
        }
    }
}

#[test]
fn every_crate_is_on_the_map() {
    let layers = layers();
    for place in ["crates", "bin"] {
        for entry in std::fs::read_dir(root().join(place)).expect("a folder") {
            let folder = format!(
                "{place}/{}",
                entry.expect("an entry").file_name().to_string_lossy()
            );
            assert!(
                layers.iter().any(|(known, _)| *known == folder),
                "{folder} is not on the map"
            );
        }
    }
}

fn sources(folder: &Path) -> Vec<PathBuf> {
    let mut files = files_below(folder);
    files.retain(|path| path.extension().is_some_and(|end| end == "rs"));
    files
}

#[test]
fn every_source_file_says_what_it_is_in_its_first_line() {
    let places = ["crates", "bin", "bench", "tests", "fuzz"];
    let files = places.map(|place| sources(&root().join(place))).concat();
    assert!(files.len() > 100, "the sources were found");
    let silent: Vec<_> = files
        .iter()
        .filter(|path| !read(path).starts_with("//!"))
        .collect();
    assert!(silent.is_empty(), "files without a first line: {silent:?}");
}

/// The structs of a formatted file, and how many fields each has.
fn structs(text: &str) -> Vec<(String, usize)> {
    let mut found = Vec::new();
    let mut lines = text.lines();
    while let Some(line) = lines.next() {
        let words: Vec<&str> = line.split(['(', ')', ' ', '<', '{']).collect();
        let is_struct = !line.starts_with([' ', '/']) && line.ends_with('{');
        if let Some(at) = words
            .iter()
            .position(|word| *word == "struct")
            .filter(|_| is_struct)
        {
            let body = lines.by_ref().take_while(|line| *line != "}");
            let is_field = |line: &&str| {
                let inner = line.strip_prefix("    ").unwrap_or_default();
                inner.starts_with(|first: char| first.is_ascii_lowercase()) && inner.contains(": ")
            };
            found.push((words[at + 1].to_owned(), body.filter(is_field).count()));
        }
    }
    found
}

#[test]
fn no_struct_of_the_engine_has_more_than_twenty_fields() {
    let text = "/// One.\npub(crate) struct One<T> {\n    /// It: this.\n    pub(crate) a: T,\n    b: u8,\n}\n";
    assert_eq!(structs(text), [("One".to_owned(), 2)]);
    let files = sources(&root().join("crates/engine/src"));
    let all: Vec<_> = files.iter().flat_map(|path| structs(&read(path))).collect();
    assert!(all.len() > 100, "the structs were found");
    let large: Vec<_> = all.iter().filter(|(_, fields)| *fields > 20).collect();
    assert!(large.is_empty(), "{large:?}");
}

/// Names of files in a folder, without their ending.
fn stems(folder: &Path) -> BTreeSet<String> {
    std::fs::read_dir(folder)
        .expect("a folder")
        .map(|entry| entry.expect("an entry").path())
        .filter_map(|path| Some(path.file_stem()?.to_string_lossy().into_owned()))
        .collect()
}

#[test]
fn every_fuzz_target_is_built_and_described() {
    let targets = stems(&root().join("fuzz/fuzz_targets"));
    let named = |file: &str, start: &str| -> BTreeSet<String> {
        read(root().join(file))
            .lines()
            .filter_map(|line| line.strip_prefix(start)?.split(['"', '`']).next())
            .map(str::to_owned)
            .collect()
    };
    assert_eq!(
        named("fuzz/Cargo.toml", "path = \"fuzz_targets/"),
        targets
            .iter()
            .map(|target| format!("{target}.rs"))
            .collect()
    );
    assert_eq!(named("fuzz/README.md", "| `"), targets);
    assert!(targets.is_superset(&stems(&root().join("fuzz/dictionaries"))));
}

/// The text of a source file without its comments and its tests.
fn code(path: &Path) -> String {
    let text = read(path);
    let text = text.split("#[cfg(test)]\nmod ").next().unwrap_or_default();
    let lines = text
        .lines()
        .map(|line| line.split("//").next().unwrap_or_default());
    lines.collect::<Vec<_>>().join(" ")
}

/// The paths that a use declaration names, with its braces written out.
fn written_out(tree: &str) -> Vec<String> {
    let tree = tree.trim();
    let Some((start, rest)) = tree.split_once('{') else {
        return vec![tree.to_owned()];
    };
    let inner = rest.rsplit_once('}').map_or(rest, |(inner, _)| inner);
    let (mut parts, mut depth, mut part) = (Vec::new(), 0, String::new());
    for letter in inner.chars() {
        match letter {
            '{' => depth += 1,
            '}' => depth -= 1,
            ',' if depth == 0 => {
                parts.push(std::mem::take(&mut part));
                continue;
            }
            _ => {}
        }
        part.push(letter);
    }
    parts.push(part);
    let parts = parts.iter().filter(|part| !part.trim().is_empty());
    parts
        .flat_map(|part| written_out(&format!("{start}{}", part.trim())))
        .collect()
}

/// Paths in the code: those of its use declarations, and others that start in the crate or in the module above.
fn paths_in(code: &str) -> Vec<String> {
    let word = |letter: char| letter.is_alphanumeric() || letter == '_' || letter == ':';
    let uses = code.split("use ").skip(1);
    let uses = uses
        .filter_map(|rest| rest.split_once(';'))
        .map(|(tree, _)| tree);
    let mut paths: Vec<String> = uses.flat_map(written_out).collect();
    for start in ["crate::", "super::"] {
        let others = code.split(start).skip(1);
        paths.extend(others.map(|rest| {
            let end = rest.find(|letter| !word(letter)).unwrap_or(rest.len());
            format!("{start}{}", &rest[..end])
        }));
    }
    paths
}

/// The modules of a crate that have a file, and the files that each names.
fn imports(sources_of: &Path) -> BTreeMap<Vec<String>, BTreeSet<Vec<String>>> {
    let files = sources(sources_of);
    let module = |path: &PathBuf| -> Vec<String> {
        let path = path
            .strip_prefix(sources_of)
            .expect("below")
            .with_extension("");
        let mut words: Vec<String> = path
            .iter()
            .map(|word| word.to_string_lossy().into_owned())
            .collect();
        words.pop_if(|last| ["mod", "lib", "main"].contains(&last.as_str()));
        words
    };
    let known: BTreeSet<Vec<String>> = files.iter().map(module).collect();
    let of = |file: &PathBuf| {
        let own = module(file);
        let named = paths_in(&code(file)).into_iter().filter_map(|path| {
            let mut words: Vec<&str> = path.split("::").map(str::trim).collect();
            let mut at = own.clone();
            match *words.first()? {
                "crate" => {
                    at.clear();
                    words.remove(0);
                }
                "super" => {
                    while words.first() == Some(&"super") {
                        at.pop();
                        words.remove(0);
                    }
                }
                "self" => drop(words.remove(0)),
                first => {
                    at.push(first.to_owned());
                    known.contains(&at).then_some(())?;
                    words.remove(0);
                }
            }
            at.extend(words.into_iter().map(str::to_owned));
            while !known.contains(&at) {
                at.pop()?;
            }
            // What the crate hands out by its own name is not looked for.
            (!at.is_empty() && at != own).then_some(at)
        });
        (own.clone(), named.collect())
    };
    files.iter().map(of).collect()
}

#[test]
fn no_circle_of_imports_has_more_than_three_files() {
    let mut crates = 0;
    for place in ["crates", "bin"] {
        for entry in std::fs::read_dir(root().join(place)).expect("a folder") {
            let folder = entry.expect("an entry").path();
            let imports = imports(&folder.join("src"));
            crates += 1;
            let reached = |from: &Vec<String>| {
                let (mut seen, mut next) = (BTreeSet::new(), vec![from]);
                while let Some(at) = next.pop() {
                    for to in imports.get(at).into_iter().flatten() {
                        if seen.insert(to) {
                            next.push(to);
                        }
                    }
                }
                seen
            };
            let all: BTreeMap<_, _> = imports.keys().map(|file| (file, reached(file))).collect();
            for (file, reached) in &all {
                let circle = reached.iter().filter(|other| all[**other].contains(file));
                let circle: Vec<String> = circle.map(|words| words.join("/")).collect();
                assert!(circle.len() <= 3, "{}: {circle:?}", folder.display());
            }
        }
    }
    assert!(crates > 20, "the crates were found");
}
