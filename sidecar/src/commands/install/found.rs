//! [`Found`]: what is there before an install. All plans are made from it; nothing is changed here.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use constellation_shared::Station;

use crate::commands::install::checkout::{committed, git, git_folder};
use crate::commands::install::record::Record;
use crate::commands::install::{InstallError, PLUGIN, SCRIPTS};

/// The folder of a station for what an install keeps, in strfry's folder.
const KEPT: &str = "constellation-install";

/// A file as it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Seen {
    /// The path of the file, whether it exists or not.
    pub path: PathBuf,
    /// What the file holds; `None` if it does not exist.
    pub content: Option<Vec<u8>>,
}

/// A script of the station's.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Script {
    /// The file in the work tree.
    pub file: Seen,
    /// The content that git has committed, if git knows the file.
    pub committed: Option<Vec<u8>>,
    /// git believes that it was changed, by its size and times.
    pub is_stale: bool,
}

/// The files in which the filter is configured for git.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GitFiles {
    /// `.git/config`
    pub config: Seen,
    /// `.git/info/attributes`
    pub attributes: Seen,
    /// `.git/info/exclude`
    pub exclude: Seen,
}

/// What is found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Found {
    /// The station's folder.
    pub root: PathBuf,
    /// `workspace/NIP-101`, whether it is there or not.
    pub workspace: PathBuf,
    /// The scripts by their paths in the workspace; empty if there is no workspace.
    pub scripts: BTreeMap<&'static str, Script>,
    /// Git's files, if the workspace is a git work tree.
    pub git: Option<GitFiles>,
    /// `strfry.conf`
    pub conf: Seen,
    /// The settings file.
    pub settings: Seen,
    /// Whether somebody said that it is not `constellation.toml` in strfry's folder.
    pub has_given_settings: bool,
    /// The record of an earlier install.
    pub record: Seen,
    /// The folder for what is kept.
    pub kept: PathBuf,
    /// The files in it, by their paths there.
    pub kept_files: BTreeMap<PathBuf, Vec<u8>>,
    /// The folder and those in it, each before what is in it.
    pub kept_folders: Vec<PathBuf>,
}

impl Found {
    /// Looks at a station.
    ///
    /// # Errors
    /// If an existing file cannot be read, git fails, or a script is a symbolic link.
    pub fn look(station: &Station) -> Result<Self, InstallError> {
        let root = fs::canonicalize(station.root())
            .map_err(|error| InstallError::Read(station.root().to_owned(), error))?;
        let has_given_settings = station.has_given_settings_file();
        let settings = has_given_settings.then(|| station.settings_file());
        let station = Station::new(&root).with_settings_file(settings);
        let settings = station.settings_file();
        if fs::metadata(&settings).is_ok_and(|metadata| !metadata.is_file()) {
            return Err(InstallError::NoFile(settings));
        }
        let (folder, workspace) = (station.strfry_dir(), root.join("workspace/NIP-101"));
        let is_there = workspace.is_dir();
        let git = if is_there && workspace.join(".git").exists() {
            Some(look_at_git(&workspace)?)
        } else {
            None
        };
        let mut scripts = BTreeMap::new();
        for name in SCRIPTS.iter().map(|(name, _)| *name).chain([PLUGIN]) {
            if is_there {
                scripts.insert(name, look_at_script(&workspace, name, git.is_some())?);
            }
        }
        let kept = folder.join(KEPT);
        let (mut kept_files, mut kept_folders) = (BTreeMap::new(), Vec::new());
        walk(&kept, &kept, &mut kept_files, &mut kept_folders)?;
        Ok(Self {
            workspace,
            scripts,
            git,
            conf: Seen::look(folder.join("strfry.conf"))?,
            settings: Seen::look(settings)?,
            has_given_settings,
            record: Seen::look(folder.join("constellation-install.json"))?,
            kept,
            kept_files,
            kept_folders,
            root,
        })
    }

    /// What the record says.
    ///
    /// # Errors
    /// If there is a record that is not understood.
    pub fn recorded(&self) -> Result<Record, InstallError> {
        match &self.record.content {
            None => Ok(Record::new(Vec::new(), None)),
            Some(bytes) => {
                Record::parse(bytes).ok_or_else(|| InstallError::Record(self.record.path.clone()))
            }
        }
    }

    /// Our copy of a script, from which the filter puts it in place.
    pub fn copy(&self, script: &str) -> Seen {
        self.kept_file(&Path::new("scripts").join(script))
    }

    /// What was in a script's place, or in that of `strfry.conf`.
    pub fn backup(&self, name: &str) -> Seen {
        self.kept_file(&Path::new("before").join(name))
    }

    fn kept_file(&self, name: &Path) -> Seen {
        Seen {
            path: self.kept.join(name),
            content: self.kept_files.get(name).cloned(),
        }
    }
}

impl Seen {
    /// Looks at a file.
    ///
    /// # Errors
    /// If the file exists and cannot be read.
    pub fn look(path: PathBuf) -> Result<Self, InstallError> {
        match fs::read(&path) {
            Ok(content) => Ok(Self {
                path,
                content: Some(content),
            }),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Self {
                path,
                content: None,
            }),
            Err(error) => Err(InstallError::Read(path, error)),
        }
    }
}

fn look_at_git(workspace: &Path) -> Result<GitFiles, InstallError> {
    let folder = git_folder(workspace)?;
    Ok(GitFiles {
        config: Seen::look(folder.join("config"))?,
        attributes: Seen::look(folder.join("info/attributes"))?,
        exclude: Seen::look(folder.join("info/exclude"))?,
    })
}

fn look_at_script(
    workspace: &Path,
    name: &'static str,
    is_git: bool,
) -> Result<Script, InstallError> {
    let path = workspace.join(name);
    if fs::symlink_metadata(&path).is_ok_and(|metadata| !metadata.is_file()) {
        return Err(InstallError::NoFile(path));
    }
    let committed = is_git.then(|| committed(workspace, name)).flatten();
    let is_stale = if committed.is_some() {
        !git(workspace, &["diff-files", "--name-only", "--", name])?.is_empty()
    } else {
        false
    };
    Ok(Script {
        file: Seen::look(path)?,
        committed,
        is_stale,
    })
}

fn walk(
    folder: &Path,
    top: &Path,
    files: &mut BTreeMap<PathBuf, Vec<u8>>,
    folders: &mut Vec<PathBuf>,
) -> Result<(), InstallError> {
    let failed = |error| InstallError::Read(folder.to_owned(), error);
    let entries = match fs::read_dir(folder) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        entries => entries.map_err(failed)?,
    };
    folders.push(folder.to_owned());
    for entry in entries {
        let path = entry.map_err(failed)?.path();
        if path.is_dir() {
            walk(&path, top, files, folders)?;
        } else if let (Ok(name), Ok(content)) = (path.strip_prefix(top), fs::read(&path)) {
            files.insert(name.to_owned(), content);
        }
    }
    Ok(())
}
