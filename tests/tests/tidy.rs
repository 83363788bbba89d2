//! The map is true: every path that ARCHITECTURE.md and README.md name exists, every crate is on the map and depends only on crates
//! before it, every source file says what it is, and every fuzz target is described.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use tern_tests::root;

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

fn sources(folder: &Path, found: &mut Vec<PathBuf>) {
    for entry in std::fs::read_dir(folder).into_iter().flatten().flatten() {
        let path = entry.path();
        if path.is_dir() && path.file_name().is_none_or(|name| name != "target") {
            sources(&path, found);
        } else if path.extension().is_some_and(|end| end == "rs") {
            found.push(path);
        }
    }
}

#[test]
fn every_source_file_says_what_it_is_in_its_first_line() {
    let mut files = Vec::new();
    for place in ["crates", "bin", "bench", "tests", "fuzz"] {
        sources(&root().join(place), &mut files);
    }
    assert!(files.len() > 100, "the sources were found");
    let silent: Vec<_> = files
        .iter()
        .filter(|path| !read(path).starts_with("//!"))
        .collect();
    assert!(silent.is_empty(), "files without a first line: {silent:?}");
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
