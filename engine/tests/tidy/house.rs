//! A crate as its files and the arrows between them, read from the sources without compiling them.
//!
//! An arrow is a path that begins with `crate` or `super`, in a `use` or in code. It ends at the file of the
//! longest part of the path that is a module; where that module only passes the name on (`pub use`), at the
//! file that it comes from. What is built for tests alone is left out.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use proc_macro2::{Delimiter, TokenStream, TokenTree};
use quote::ToTokens;
use syn::{Attribute, Item};

/// Folders that hold what others, or programs, have made.
const FOREIGN: [&str; 5] = ["target", ".git", "node_modules", "clients", "evidence"];
/// How often a name may be passed on.
const PASSED_ON_MAX: usize = 8;

/// A text with its place in the repository.
#[derive(Debug)]
pub(crate) struct Text {
    pub(crate) path: PathBuf,
    pub(crate) content: String,
}

/// One source file of a crate.
#[derive(Debug)]
pub(crate) struct File {
    pub(crate) path: PathBuf,
    /// The module, from the crate's root; empty for `lib.rs` and `main.rs`.
    pub(crate) module: Vec<String>,
    /// The identifiers that stand in it, tests left out.
    pub(crate) words: BTreeSet<String>,
    /// The modules, or names in them, that it speaks of, from the crate's root.
    paths: BTreeSet<Vec<String>>,
    /// Names that it passes on, with where they come from.
    passed_on: BTreeMap<String, Vec<String>>,
}

/// A crate.
#[derive(Debug)]
pub(crate) struct House {
    pub(crate) files: Vec<File>,
    by_module: BTreeMap<Vec<String>, usize>,
}

impl House {
    /// The crate whose sources are in `folder` of the repository.
    pub(crate) fn read(repository: &Path, folder: &str) -> io::Result<House> {
        let mut texts = Vec::new();
        gather(repository, Path::new(folder), &["rs"], &mut texts)?;
        Ok(House::of(folder, &texts))
    }

    /// A crate of these files, which stand below `folder`.
    pub(crate) fn of(folder: &str, texts: &[Text]) -> House {
        let mut files: Vec<File> = texts
            .iter()
            .filter(|text| !is_for_tests(&text.path))
            .map(|text| File::of(Path::new(folder), text))
            .collect();
        files.sort_by(|one, other| one.path.cmp(&other.path));
        let by_module = files.iter().enumerate().map(|(at, file)| (file.module.clone(), at)).collect();
        House { files, by_module }
    }

    /// The files that this one speaks of, itself and the modules around it left out.
    pub(crate) fn arrows(&self, from: usize) -> BTreeSet<usize> {
        let file = &self.files[from];
        let ends = file.paths.iter().filter_map(|path| self.file_of(path, PASSED_ON_MAX));
        ends.filter(|to| !file.module.starts_with(&self.files[*to].module)).collect()
    }

    fn file_of(&self, path: &[String], passed_on_max: usize) -> Option<usize> {
        let (depth, at) =
            (0..=path.len()).rev().find_map(|depth| Some((depth, *self.by_module.get(&path[..depth])?)))?;
        let (file, Some(name)) = (&self.files[at], path.get(depth)) else { return Some(at) };
        if passed_on_max == 0 {
            return Some(at);
        }
        if let Some(origin) = file.passed_on.get(name) {
            let onward: Vec<_> = origin.iter().chain(&path[depth + 1..]).cloned().collect();
            return self.file_of(&onward, passed_on_max - 1);
        }
        Some(at)
    }
}

impl File {
    fn of(folder: &Path, text: &Text) -> File {
        let module = module_of(text.path.strip_prefix(folder).expect("it stands below the folder"));
        let mut syntax =
            syn::parse_file(&text.content).unwrap_or_else(|error| panic!("{}: {error}", text.path.display()));
        syntax.items.retain(|item| !is_test_only(attributes(item)));
        let mut file = File {
            path: text.path.clone(),
            module,
            words: BTreeSet::new(),
            paths: BTreeSet::new(),
            passed_on: BTreeMap::new(),
        };
        for item in &syntax.items {
            if let Item::Use(uses) = item
                && !matches!(uses.vis, syn::Visibility::Inherited)
            {
                file.pass_on(uses.tree.to_token_stream());
            }
        }
        for item in syntax.items {
            let mut module = file.module.clone();
            if let Item::Mod(inner) = &item {
                // What it says is said from one floor deeper.
                module.push(inner.ident.to_string());
            }
            file.note(&module, item.into_token_stream());
        }
        file
    }

    /// Takes in the words and the paths of some code that stands in `module`.
    fn note(&mut self, module: &[String], tokens: TokenStream) {
        let tokens: Vec<TokenTree> = tokens.into_iter().collect();
        let mut at = 0;
        while at < tokens.len() {
            match &tokens[at] {
                TokenTree::Ident(word) => {
                    let word = word.to_string();
                    let begins = at == 0 || !is_colon(&tokens[at - 1]);
                    if begins && (word == "crate" || word == "super" || word == "self") {
                        let mut found = Vec::new();
                        expand(&tokens[at..], &mut Vec::new(), &mut found);
                        for (path, _) in found {
                            self.paths.extend(from_root(module, &path));
                        }
                    }
                    self.words.insert(word);
                }
                TokenTree::Group(group) => self.note(module, group.stream()),
                _ => {}
            }
            at += 1;
        }
    }

    fn pass_on(&mut self, tree: TokenStream) {
        let tokens: Vec<TokenTree> = tree.into_iter().collect();
        let mut found = Vec::new();
        expand(&tokens, &mut Vec::new(), &mut found);
        for (path, name) in found {
            // A path without a keyword begins at a module beside.
            let rooted = match path.first().map(String::as_str) {
                Some("crate" | "self" | "super") => from_root(&self.module, &path),
                _ => Some(self.module.iter().chain(&path).cloned().collect()),
            };
            let Some(rooted) = rooted else { continue };
            if let Some(name) = name {
                self.passed_on.insert(name, rooted);
            }
        }
    }
}

/// The path from the crate's root of what `module` calls `path`; `None` when it leaves the crate.
fn from_root(module: &[String], path: &[String]) -> Option<Vec<String>> {
    let mut base = module.to_vec();
    let mut rest = path;
    match rest.first()?.as_str() {
        "crate" => (base, rest) = (Vec::new(), &rest[1..]),
        "self" => rest = &rest[1..],
        _ => {}
    }
    while let Some("super") = rest.first().map(String::as_str) {
        base.pop()?;
        rest = &rest[1..];
    }
    Some(base.into_iter().chain(rest.iter().cloned()).collect())
}

/// The paths of a `use` tree or of a path in code, each with the name that it gives; `None` for all that is
/// there.
fn expand(tokens: &[TokenTree], before: &mut Vec<String>, found: &mut Vec<(Vec<String>, Option<String>)>) {
    let depth = before.len();
    let mut at = 0;
    loop {
        match tokens.get(at) {
            Some(TokenTree::Ident(word)) => before.push(word.to_string()),
            Some(TokenTree::Group(group)) if group.delimiter() == Delimiter::Brace => {
                let inner: Vec<TokenTree> = group.stream().into_iter().collect();
                for branch in
                    inner.split(|token| matches!(token, TokenTree::Punct(mark) if mark.as_char() == ','))
                {
                    expand(branch, before, found);
                }
                before.truncate(depth);
                return;
            }
            Some(TokenTree::Punct(mark)) if mark.as_char() == '*' => {
                found.push((before.clone(), None));
                before.truncate(depth);
                return;
            }
            _ => break,
        }
        at += 1;
        match (tokens.get(at), tokens.get(at + 1)) {
            (Some(one), Some(other)) if is_colon(one) && is_colon(other) => at += 2,
            _ => break,
        }
    }
    if before.len() > depth {
        let renamed = match (tokens.get(at), tokens.get(at + 1)) {
            (Some(TokenTree::Ident(word)), Some(TokenTree::Ident(name))) if word == "as" => {
                Some(name.to_string())
            }
            _ => None,
        };
        // `module::{self}` names the module.
        let mut path = before.clone();
        if path.len() > 1 && path.last().is_some_and(|last| last == "self") {
            path.pop();
        }
        let name = renamed.or_else(|| path.last().cloned());
        found.push((path, name));
    }
    before.truncate(depth);
}

fn is_colon(token: &TokenTree) -> bool {
    matches!(token, TokenTree::Punct(mark) if mark.as_char() == ':')
}

fn module_of(path: &Path) -> Vec<String> {
    let mut module: Vec<String> =
        path.with_extension("").iter().map(|part| part.to_string_lossy().into_owned()).collect();
    if matches!(module.last().map(String::as_str), Some("mod" | "lib" | "main")) {
        module.pop();
    }
    module
}

/// Whether a file is built for tests alone.
fn is_for_tests(path: &Path) -> bool {
    let name = path.file_stem().is_some_and(|name| name == "tests");
    name || path.iter().any(|folder| folder == "tests" || folder == "crash")
}

fn is_test_only(attributes: &[Attribute]) -> bool {
    attributes.iter().any(|attribute| {
        attribute.path().is_ident("cfg") && attribute.meta.to_token_stream().to_string().contains("(test)")
    })
}

fn attributes(item: &Item) -> &[Attribute] {
    match item {
        Item::Const(item) => &item.attrs,
        Item::Enum(item) => &item.attrs,
        Item::Fn(item) => &item.attrs,
        Item::Impl(item) => &item.attrs,
        Item::Macro(item) => &item.attrs,
        Item::Mod(item) => &item.attrs,
        Item::Static(item) => &item.attrs,
        Item::Struct(item) => &item.attrs,
        Item::Trait(item) => &item.attrs,
        Item::Type(item) => &item.attrs,
        Item::Use(item) => &item.attrs,
        _ => &[],
    }
}

/// All Rust files of the repository.
pub(crate) fn sources(repository: &Path) -> io::Result<Vec<Text>> {
    let mut found = Vec::new();
    for folder in ["engine", "server", "bench", "fuzz"] {
        gather(repository, Path::new(folder), &["rs"], &mut found)?;
    }
    Ok(found)
}

/// All pages of prose of the repository.
pub(crate) fn pages(repository: &Path) -> io::Result<Vec<Text>> {
    let mut found = Vec::new();
    for folder in ["docs", "server", "bench", "fuzz", "engine"] {
        gather(repository, Path::new(folder), &["md"], &mut found)?;
    }
    let readme = PathBuf::from("README.md");
    found.push(Text { content: fs::read_to_string(repository.join(&readme))?, path: readme });
    Ok(found)
}

fn gather(repository: &Path, folder: &Path, endings: &[&str], found: &mut Vec<Text>) -> io::Result<()> {
    let mut entries: Vec<_> = fs::read_dir(repository.join(folder))?.collect::<io::Result<_>>()?;
    entries.sort_by_key(fs::DirEntry::file_name);
    for entry in entries {
        let name = entry.file_name();
        let path = folder.join(&name);
        if entry.file_type()?.is_dir() {
            if !FOREIGN.iter().any(|foreign| *name == **foreign) {
                gather(repository, &path, endings, found)?;
            }
        } else if path.extension().is_some_and(|ending| endings.iter().any(|wanted| *ending == **wanted)) {
            found.push(Text { content: fs::read_to_string(repository.join(&path))?, path });
        }
    }
    Ok(())
}
