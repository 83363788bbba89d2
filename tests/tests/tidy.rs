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

/// The text of a source file without its comments and its tests, which stand at its end.
fn code(path: &Path) -> String {
    let text = read(path);
    let tests = |at: &usize| {
        let module = text[*at..].lines().nth(1).unwrap_or_default();
        module.contains("mod ") && module.ends_with('{')
    };
    let mut marks = text.match_indices("#[cfg(test)]").map(|(at, _)| at);
    let lines = text[..marks.find(tests).unwrap_or(text.len())].lines();
    let lines = lines.map(|line| line.split("//").next().unwrap_or_default());
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

/// The paths of all use declarations.
fn used(code: &str) -> Vec<String> {
    let uses = code.split("use ").skip(1);
    let uses = uses
        .filter_map(|rest| rest.split_once(';'))
        .map(|(tree, _)| tree);
    uses.flat_map(written_out).collect()
}

/// Paths in the code: those of its use declarations, and others that start in the crate or in the module above.
fn paths_in(code: &str) -> Vec<String> {
    let word = |letter: char| letter.is_alphanumeric() || letter == '_' || letter == ':';
    let mut paths = used(code);
    for start in ["crate::", "super::"] {
        let others = code.split(start).skip(1);
        paths.extend(others.filter(|rest| rest.starts_with(word)).map(|rest| {
            let end = rest.find(|letter| !word(letter)).unwrap_or(rest.len());
            format!("{start}{}", &rest[..end])
        }));
    }
    paths
}

/// A module, as the words of its path; the crate itself has none.
type Module = Vec<String>;

/// The names that each file of a crate takes into use or hands on, and the paths that they stand for.
type Names = BTreeMap<Module, BTreeMap<String, String>>;

/// The names of a file, by what its use declarations call them.
fn names(code: &str) -> BTreeMap<String, String> {
    let named = used(code).into_iter().map(|path| {
        let path = path.trim_end_matches("::self");
        let (path, name) = path.split_once(" as ").unwrap_or((path, path));
        let name = name.rsplit("::").next().unwrap_or(name);
        (name.trim().to_owned(), path.trim().to_owned())
    });
    named.collect()
}

/// The file that defines what a path in another one means; none if that is another crate's. What a file only hands on is looked for
/// where it has it from.
fn file_of(names: &Names, own: &Module, path: &str) -> Option<Module> {
    let words: Vec<&str> = path.split("::").map(str::trim).collect();
    let (mut at, mut known) = (own.clone(), true);
    for (place, word) in words.iter().enumerate() {
        match *word {
            "crate" => at.clear(),
            "super" => drop(at.pop()),
            "self" => {}
            word => {
                let child = [at.as_slice(), &[word.to_owned()]].concat();
                if names.contains_key(&child) {
                    at = child;
                    continue;
                }
                known &= place > 0;
                let Some(from) = names.get(&at)?.get(word) else {
                    return known.then_some(at);
                };
                // `use rand::rand`: a name that stands for itself is another crate's.
                let (first, _) = from.split_once("::").unwrap_or((from, ""));
                let rest = [&[from.as_str()], &words[place + 1..]].concat();
                return (first != word).then(|| file_of(names, &at, &rest.join("::")))?;
            }
        }
    }
    Some(at)
}

/// The files of a crate, and those that each imports.
fn imports(sources_of: &Path) -> BTreeMap<Module, BTreeSet<Module>> {
    let module = |path: &PathBuf| -> Module {
        let path = path
            .strip_prefix(sources_of)
            .expect("below")
            .with_extension("");
        let mut words: Module = path
            .iter()
            .map(|word| word.to_string_lossy().into_owned())
            .collect();
        words.pop_if(|last| ["mod", "lib", "main"].contains(&last.as_str()));
        words
    };
    let files = sources(sources_of).into_iter();
    let codes: BTreeMap<Module, String> = files
        .filter(|path| !path.ends_with("tests.rs"))
        .map(|path| (module(&path), code(&path)))
        .collect();
    let names: Names = codes
        .iter()
        .map(|(own, code)| (own.clone(), names(code)))
        .collect();
    let of = |(own, code): (&Module, &String)| {
        let named = paths_in(code).into_iter();
        let named = named.filter_map(|path| file_of(&names, own, &path));
        let others = named.filter(|at| at != own && names.contains_key(at));
        (own.clone(), others.collect())
    };
    codes.iter().map(of).collect()
}

/// The files that can be reached along imports.
fn reached<'a>(
    imports: &'a BTreeMap<Module, BTreeSet<Module>>,
    from: &'a Module,
) -> BTreeSet<&'a Module> {
    let (mut seen, mut next) = (BTreeSet::new(), vec![from]);
    while let Some(at) = next.pop() {
        next.extend(imports[at].iter().filter(|to| seen.insert(*to)));
    }
    seen
}

/// The longest circle that goes on from this way and meets no file twice.
fn longest(
    imports: &BTreeMap<Module, BTreeSet<Module>>,
    among: &BTreeSet<&Module>,
    way: &[Module],
) -> Vec<Module> {
    let next = way.last().map(|last| imports[last].iter());
    let circles = next.into_iter().flatten().map(|to| {
        if *to == way[0] {
            way.to_vec()
        } else if !among.contains(to) || way.contains(to) {
            Vec::new()
        } else {
            longest(imports, among, &[way, std::slice::from_ref(to)].concat())
        }
    });
    circles.max_by_key(Vec::len).unwrap_or_default()
}

#[test]
fn no_circle_of_imports_has_more_than_three_files() {
    let mut crates = 0;
    for place in ["crates", "bin"] {
        for entry in std::fs::read_dir(root().join(place)).expect("a folder") {
            let folder = entry.expect("an entry").path();
            let imports = imports(&folder.join("src"));
            crates += 1;
            let all: BTreeMap<_, _> = imports
                .keys()
                .map(|file| (file, reached(&imports, file)))
                .collect();
            for (file, reached) in &all {
                let back = reached.iter().filter(|other| all[*other].contains(file));
                let circle = longest(&imports, &back.copied().collect(), &[(*file).clone()]);
                let circle: Vec<String> = circle.iter().map(|words| words.join("/")).collect();
                assert!(circle.len() <= 3, "{}: {circle:?}", folder.display());
            }
        }
    }
    assert!(crates > 20, "the crates were found");
}

#[test]
fn a_name_that_is_handed_on_is_an_import_of_the_file_that_defines_it() {
    let module = |path: &str| path.split_terminator('/').map(str::to_owned).collect();
    let files = [
        ("", "mod a; mod b; pub use b::{c::Deep, One as Two};"),
        ("a", "use bytes::bytes; use crate::Deep;"),
        ("b", "pub mod c; pub use c::One; pub use hash_slot::Slot;"),
        ("b/c", ""),
    ];
    let names: Names = files
        .iter()
        .map(|(file, code)| (module(file), names(code)))
        .collect();
    for (path, file) in [
        ("crate::Two", Some("b/c")),
        ("crate::Deep::new", Some("b/c")),
        ("Deep::new", Some("b/c")),
        ("super::b::One", Some("b/c")),
        ("crate::b::own", Some("b")),
        ("crate::own", Some("")),
        ("crate::b::Slot", None),
        ("bytes::Bytes", None),
        ("std::fmt", None),
    ] {
        assert_eq!(
            file_of(&names, &module("a"), path),
            file.map(module),
            "{path}"
        );
    }
}
