//! The simulated file system: a tree of files and directories, each cached and durable.
//!
//! It knows what each system call does to the two images; it knows nothing of time, of operations in flight
//! or of injected faults. A clone is another medium with the same content. File contents are in
//! [`super::file`].

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::path::{Component, Path, PathBuf};
use std::rc::Rc;

use fastrand::Rng;
use rustix::io::Errno;

use super::file::{BLOCK_BYTES, File, survival};
use crate::io::{Entry, OpenMode};

/// The longest file, as on ext4: 16 TiB.
const FILE_BYTES_MAX: u64 = 1 << 44;

/// Unreachable nodes are looked for when this many more than were reachable last time exist.
const GARBAGE_NODES_MIN: usize = 256;

const ROOT: NodeId = 0;

pub(super) type NodeId = u64;

/// An open file of a [`SimDisk`](super::SimDisk): it stays readable when its name is removed or given to
/// another file.
#[derive(Clone)]
pub struct SimFile {
    pub(super) node: NodeId,
    /// The path under which it was opened.
    pub(super) path: Rc<Path>,
    pub(super) durable: bool,
    _open: Rc<()>,
}

#[derive(Clone)]
pub(super) struct Medium {
    nodes: BTreeMap<NodeId, Node>,
    node_next: NodeId,
    /// Directory changes that are not durable yet, oldest first.
    pending: Vec<DirectoryChange>,
    change_next: u64,
    nodes_reachable: usize,
    pub(super) capacity: Option<u64>,
}

#[derive(Clone)]
enum Node {
    File(File),
    Directory { cached: Entries, durable: Entries },
}

type Entries = BTreeMap<String, NodeId>;

/// Edits that survive together or not at all.
#[derive(Clone)]
struct DirectoryChange {
    sequence: u64,
    edits: Vec<Edit>,
}

/// One name of one directory gets a node, or loses it.
#[derive(Clone)]
struct Edit {
    directory: NodeId,
    name: String,
    node: Option<NodeId>,
}

impl Medium {
    /// An empty medium with a root directory.
    pub(super) fn new() -> Medium {
        let root = Node::Directory { cached: Entries::new(), durable: Entries::new() };
        Medium {
            nodes: BTreeMap::from([(ROOT, root)]),
            node_next: ROOT + 1,
            pending: Vec::new(),
            change_next: 0,
            nodes_reachable: 1,
            capacity: None,
        }
    }

    pub(super) fn open(&mut self, path: &Path, mode: OpenMode) -> io::Result<SimFile> {
        let (directory, name) = self.parent(path)?;
        let node = match (self.entries(directory)?.get(name).copied(), mode) {
            (Some(node), OpenMode::Truncate) => {
                self.file(node)?.set_length(0);
                node
            }
            (Some(node), _) => node,
            (None, OpenMode::Create | OpenMode::Truncate) => {
                self.make(directory, name, Node::File(File::default()))
            }
            (None, OpenMode::Existing | OpenMode::Durable) => return Err(Errno::NOENT.into()),
        };
        let _open = self.file(node)?.open();
        Ok(SimFile { node, path: path.into(), durable: mode == OpenMode::Durable, _open })
    }

    /// The file with this identity, for reading and for everything that needs no room.
    pub(super) fn file(&mut self, node: NodeId) -> io::Result<&mut File> {
        match self.nodes.get_mut(&node).expect("a node lives while something refers to it") {
            Node::File(file) => Ok(file),
            Node::Directory { .. } => Err(Errno::ISDIR.into()),
        }
    }

    /// Writes as much as there is room for, or a part of that when it is not all.
    pub(super) fn write(
        &mut self,
        node: NodeId,
        position: u64,
        bytes: &[u8],
        durable: bool,
        rng: &mut Rng,
    ) -> io::Result<()> {
        if position.checked_add(bytes.len() as u64).is_none_or(|end| end > FILE_BYTES_MAX) {
            return Err(Errno::FBIG.into());
        }
        let blocks_free = self.capacity.map(|capacity| capacity.saturating_sub(self.used()) / BLOCK_BYTES);
        let file = self.file(node)?;
        let fitting =
            blocks_free.map_or(bytes.len(), |free| file.cached.fitting(position, bytes.len(), free));
        if fitting < bytes.len() {
            let written = if rng.bool() { fitting } else { rng.usize(..=fitting) };
            file.write(position, &bytes[..written]);
            return Err(Errno::NOSPC.into());
        }
        match durable {
            true => file.write_durable(position, bytes),
            false => file.write(position, bytes),
        }
        Ok(())
    }

    pub(super) fn set_len(&mut self, node: NodeId, length: u64) -> io::Result<()> {
        if length > FILE_BYTES_MAX {
            return Err(Errno::FBIG.into());
        }
        self.file(node)?.set_length(length);
        Ok(())
    }

    pub(super) fn create_dir(&mut self, path: &Path) -> io::Result<()> {
        let mut directory = ROOT;
        for name in names(path) {
            directory = match self.entries(directory)?.get(name) {
                Some(&node) => node,
                None => {
                    let made = Node::Directory { cached: Entries::new(), durable: Entries::new() };
                    self.make(directory, name, made)
                }
            };
        }
        self.entries(directory).map(drop)
    }

    pub(super) fn list(&self, path: &Path) -> io::Result<Vec<Entry>> {
        let entry = |(name, node): (&String, &NodeId)| match &self.nodes[node] {
            Node::File(file) => Entry { name: name.clone(), is_dir: false, length: file.cached.len() },
            Node::Directory { .. } => Entry { name: name.clone(), is_dir: true, length: 0 },
        };
        Ok(self.entries(self.find(path)?)?.iter().map(entry).collect())
    }

    pub(super) fn rename(&mut self, from: &Path, to: &Path) -> io::Result<()> {
        let node = self.find(from)?;
        let (from_directory, from_name) = self.parent(from)?;
        let (to_directory, to_name) = self.parent(to)?;
        let is_file = matches!(self.nodes[&node], Node::File(_));
        match self.entries(to_directory)?.get(to_name).map(|replaced| (*replaced, &self.nodes[replaced])) {
            Some((replaced, _)) if replaced == node => return Ok(()),
            Some((_, Node::Directory { .. })) if is_file => return Err(Errno::ISDIR.into()),
            Some((_, Node::Directory { cached, .. })) if !cached.is_empty() => {
                return Err(Errno::NOTEMPTY.into());
            }
            Some((_, Node::File(_))) if !is_file => return Err(Errno::NOTDIR.into()),
            _ if names(to).take(names(from).count()).eq(names(from)) => return Err(Errno::INVAL.into()),
            _ => {}
        }
        self.change(vec![
            Edit { directory: from_directory, name: from_name.to_owned(), node: None },
            Edit { directory: to_directory, name: to_name.to_owned(), node: Some(node) },
        ]);
        Ok(())
    }

    pub(super) fn remove_file(&mut self, path: &Path) -> io::Result<()> {
        let node = self.find(path)?;
        self.file(node)?;
        let (directory, name) = self.parent(path)?;
        self.change(vec![Edit { directory, name: name.to_owned(), node: None }]);
        Ok(())
    }

    pub(super) fn remove_dir(&mut self, path: &Path) -> io::Result<()> {
        for entry in self.list(path)? {
            let path = path.join(entry.name);
            if entry.is_dir { self.remove_dir(&path)? } else { self.remove_file(&path)? }
        }
        let (directory, name) = self.parent(path)?;
        self.change(vec![Edit { directory, name: name.to_owned(), node: None }]);
        Ok(())
    }

    /// What a `sync_dir` that starts now will cover.
    pub(super) fn sync_dir_start(&self) -> u64 {
        self.change_next
    }

    /// Makes the directory's changes durable, and those of other directories that they stand behind.
    pub(super) fn sync_dir(&mut self, path: &Path, covered: u64) -> io::Result<()> {
        let node = self.find(path)?;
        self.entries(node)?;
        let mut directories = BTreeSet::from([node]);
        let mut durable = Vec::new();
        for change in std::mem::take(&mut self.pending).into_iter().rev() {
            if change.sequence < covered && change.touches(&directories) {
                directories.extend(change.edits.iter().map(|edit| edit.directory));
                durable.push(change);
            } else {
                self.pending.push(change);
            }
        }
        self.pending.reverse();
        for change in durable.into_iter().rev() {
            self.make_durable(change);
        }
        Ok(())
    }

    /// The process dies and the kernel lives: nothing is open any more.
    pub(super) fn lose_process(&mut self) {
        for node in self.nodes.values_mut() {
            if let Node::File(file) = node {
                file.forget_handles();
            }
        }
        self.collect_garbage();
    }

    /// The machine dies: what is durable stays, and any part of the rest.
    pub(super) fn lose_power(&mut self, rng: &mut Rng) {
        let survival = survival(rng);
        let mut stopped = BTreeSet::new();
        for change in std::mem::take(&mut self.pending) {
            if change.touches(&stopped) || rng.f64() >= survival {
                stopped.extend(change.edits.iter().map(|edit| edit.directory));
            } else {
                self.make_durable(change);
            }
        }
        for node in self.nodes.values_mut() {
            match node {
                Node::File(file) => file.lose_power(rng),
                Node::Directory { cached, durable } => cached.clone_from(durable),
            }
        }
        self.lose_process();
    }

    /// The bytes that files take that have a name or are open.
    pub(super) fn used(&self) -> u64 {
        let named = self.reachable(vec![ROOT], |cached, _| vec![cached]);
        let blocks = |(id, node): (&NodeId, &Node)| match node {
            Node::File(file) if named.contains(id) || file.is_open() => file.cached.block_count(),
            _ => 0,
        };
        self.nodes.iter().map(blocks).sum::<u64>() * BLOCK_BYTES
    }

    /// The content that a file has for the programs that run.
    pub(super) fn read_cached(&self, path: &Path) -> Option<Vec<u8>> {
        match &self.nodes[&self.find(path).ok()?] {
            Node::File(file) => Some(file.cached.read(0, file.cached.len() as usize)),
            Node::Directory { .. } => None,
        }
    }

    /// The content that a file has after a crash that loses all it may.
    pub(super) fn read_durable(&self, path: &Path) -> Option<Vec<u8>> {
        let node = names(path).try_fold(ROOT, |node, name| match &self.nodes[&node] {
            Node::File(_) => None,
            Node::Directory { durable, .. } => durable.get(name).copied(),
        });
        match &self.nodes[&node?] {
            Node::File(file) => Some(file.durable_content()),
            Node::Directory { .. } => None,
        }
    }

    /// Puts a durable file there, and the directories above it.
    pub(super) fn install(&mut self, path: &Path, content: &[u8]) {
        self.create_dir(path.parent().expect("a file stands in a directory")).expect("nothing is in the way");
        let (directory, name) = self.parent(path).expect("the directory was just made");
        self.make(directory, name, Node::File(File::settled(content)));
        let mut directory = PathBuf::new();
        for name in names(path) {
            self.sync_dir(&directory, self.change_next).expect("the directory was just made");
            directory.push(name);
        }
    }

    pub(super) fn flip(&mut self, path: &Path, position: u64, bit: u32) -> io::Result<()> {
        let node = self.find(path)?;
        self.file(node)?.flip(position, bit);
        Ok(())
    }

    /// All files with their cached and durable lengths and the number of unsynced changes, by path.
    pub(super) fn files(&self) -> Vec<(PathBuf, &File)> {
        let mut files = Vec::new();
        let mut directories = vec![(PathBuf::from("/"), ROOT)];
        while let Some((path, directory)) = directories.pop() {
            for (name, node) in self.entries(directory).expect("only directories are on the list") {
                match &self.nodes[node] {
                    Node::File(file) => files.push((path.join(name), file)),
                    Node::Directory { .. } => directories.push((path.join(name), *node)),
                }
            }
        }
        files.sort_by(|left, right| left.0.cmp(&right.0));
        files
    }

    /// The names whose change a crash may lose, oldest first: `+` where one appears and `-` where it goes.
    pub(super) fn pending_names(&self) -> Vec<String> {
        let edits = self.pending.iter().flat_map(|change| &change.edits);
        edits.map(|edit| format!("{}{}", if edit.node.is_some() { '+' } else { '-' }, edit.name)).collect()
    }

    fn find(&self, path: &Path) -> io::Result<NodeId> {
        names(path).try_fold(ROOT, |node, name| {
            self.entries(node)?.get(name).copied().ok_or_else(|| Errno::NOENT.into())
        })
    }

    /// The directory in which the path's last name stands, and that name.
    fn parent<'a>(&self, path: &'a Path) -> io::Result<(NodeId, &'a str)> {
        let name = names(path).last().ok_or(Errno::BUSY)?;
        let directory = self.find(path.parent().expect("a path with a name has a parent"))?;
        self.entries(directory)?;
        Ok((directory, name))
    }

    fn entries(&self, node: NodeId) -> io::Result<&Entries> {
        match &self.nodes[&node] {
            Node::Directory { cached, .. } => Ok(cached),
            Node::File(_) => Err(Errno::NOTDIR.into()),
        }
    }

    fn make(&mut self, directory: NodeId, name: &str, node: Node) -> NodeId {
        if self.nodes.len() > 2 * self.nodes_reachable + GARBAGE_NODES_MIN {
            self.collect_garbage();
        }
        let id = self.node_next;
        self.node_next += 1;
        self.nodes.insert(id, node);
        self.change(vec![Edit { directory, name: name.to_owned(), node: Some(id) }]);
        id
    }

    fn change(&mut self, edits: Vec<Edit>) {
        for edit in &edits {
            let Some(Node::Directory { cached, .. }) = self.nodes.get_mut(&edit.directory) else {
                panic!("an entry is changed in a directory");
            };
            edit.apply(cached);
        }
        self.pending.push(DirectoryChange { sequence: self.change_next, edits });
        self.change_next += 1;
    }

    fn make_durable(&mut self, change: DirectoryChange) {
        for edit in change.edits {
            let Some(Node::Directory { durable, .. }) = self.nodes.get_mut(&edit.directory) else {
                panic!("a directory lives while a change of it is pending");
            };
            edit.apply(durable);
        }
    }

    /// Nodes that a walk from `open` finds, where a directory leads to the entries that `ways` picks.
    fn reachable<'a>(
        &'a self,
        mut open: Vec<NodeId>,
        ways: impl Fn(&'a Entries, &'a Entries) -> Vec<&'a Entries>,
    ) -> BTreeSet<NodeId> {
        let mut found = BTreeSet::new();
        while let Some(node) = open.pop() {
            if found.insert(node)
                && let Node::Directory { cached, durable } = &self.nodes[&node]
            {
                open.extend(ways(cached, durable).into_iter().flat_map(|entries| entries.values()));
            }
        }
        found
    }

    /// Drops what no crash can bring back and nobody has open.
    fn collect_garbage(&mut self) {
        let edits = self.pending.iter().flat_map(|change| &change.edits);
        let pending = edits.flat_map(|edit| std::iter::once(edit.directory).chain(edit.node));
        let used = self.reachable(pending.chain([ROOT]).collect(), |cached, durable| vec![cached, durable]);
        self.nodes.retain(|id, node| used.contains(id) || matches!(node, Node::File(file) if file.is_open()));
        self.nodes_reachable = self.nodes.len();
    }
}

impl DirectoryChange {
    fn touches(&self, directories: &BTreeSet<NodeId>) -> bool {
        self.edits.iter().any(|edit| directories.contains(&edit.directory))
    }
}

impl Edit {
    fn apply(&self, entries: &mut Entries) {
        match self.node {
            Some(node) => entries.insert(self.name.clone(), node),
            None => entries.remove(&self.name),
        };
    }
}

/// The names along a path. The root of the medium is `/` and also where relative paths start.
fn names(path: &Path) -> impl Iterator<Item = &str> + Clone {
    path.components().filter_map(|component| match component {
        Component::Normal(name) => Some(name.to_str().expect("names on the simulated disk are UTF-8")),
        Component::RootDir | Component::CurDir => None,
        Component::ParentDir | Component::Prefix(_) => panic!("the engine's paths do not climb"),
    })
}
