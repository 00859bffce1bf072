//! The file: opening it, setting it aside, and one transaction per batch.
//!
//! *Not here:* what is in a row (`rows`), and what waits to be written (`store`).

use std::{
    fs::{self, DirBuilder, File, OpenOptions},
    io::{self, ErrorKind},
    os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _},
    panic::{AssertUnwindSafe, catch_unwind},
    path::{Path, PathBuf},
    time::{SystemTime, UNIX_EPOCH},
};

use redb::{
    Database, DatabaseError, ReadableDatabase as _, ReadableTable as _, ReadableTableMetadata as _,
    StorageError, TableDefinition, WriteTransaction,
};

use super::{Act, FILE, Kept, Refusal, SetAside, Standing, Waiting, rows};
use crate::limits::{EVENTS_KEPT_MAX, STATE_CACHE_LEN};

/// The version of what is in the file. A server of an earlier one sets it aside.
const VERSION: u64 = 1;

const META: TableDefinition<'_, &str, u64> = TableDefinition::new("meta");
const VERDICTS: TableDefinition<'_, rows::VerdictOctets, rows::KnownRow> =
    TableDefinition::new("verdicts");
const OVERRIDES: TableDefinition<'_, u64, &[u8]> = TableDefinition::new("overrides");
const DIALS: TableDefinition<'_, &str, &[u8]> = TableDefinition::new("dials");
const RAMPS: TableDefinition<'_, &str, &[u8]> = TableDefinition::new("ramps");
const EVENTS: TableDefinition<'_, u64, &[u8]> = TableDefinition::new("events");
const LATENCY: TableDefinition<'_, &[u8], &[u8]> = TableDefinition::new("latency");

/// Keys of `META`.
const VERSION_KEY: &str = "version";
const OVERRIDE_ID_LAST: &str = "override_id_last";

/// What keeps a file from being read.
enum Fault {
    /// Another process has it open.
    Busy,
    /// It cannot be got at: nothing is wrong with what is in it.
    Outside(io::Error),
    /// It is of a later version of the server.
    Newer(u64),
    /// It does not hold what was written.
    Damaged(String),
}

/// Opens the file in `folder`, or a new one where there is none or it cannot be read.
pub(super) fn open(
    folder: &Path,
    now: SystemTime,
) -> Result<(Database, Kept, Option<SetAside>), Refusal> {
    let refused = |error| Refusal::Folder(folder.to_owned(), error);
    if !folder.is_dir() {
        DirBuilder::new().mode(0o700).create(folder).map_err(refused)?;
    }
    let path = folder.join(FILE);
    let mut aside = None;
    // The second time the file is a new one.
    loop {
        if !path.try_exists().map_err(refused)? {
            create(folder, &path).map_err(refused)?;
        }
        let (end, why) = match read(&path) {
            Ok((database, kept)) => return Ok((database, kept, aside)),
            Err(Fault::Busy) => return Err(Refusal::Busy(path)),
            Err(Fault::Outside(error)) => return Err(refused(error)),
            Err(Fault::Newer(version)) => {
                ("newer", format!("it is of version {version}, and this server writes {VERSION}"))
            }
            Err(Fault::Damaged(why)) => ("damaged", why),
        };
        if aside.is_some() {
            return Err(refused(io::Error::other(why)));
        }
        aside = Some(SetAside { path: set_aside(&path, end, now).map_err(refused)?, why });
    }
}

/// Makes an empty file. It gets its name when it is whole, so that a crash leaves no half of one.
fn create(folder: &Path, path: &Path) -> io::Result<()> {
    let new = path.with_extension("redb.new");
    match fs::remove_file(&new) {
        Err(error) if error.kind() != ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let mut options = OpenOptions::new();
    let file = options.read(true).write(true).create_new(true).mode(0o600).open(&new)?;
    let created = || -> Result<(), redb::Error> {
        let database = Database::builder().create_file(file)?;
        let change = database.begin_write()?;
        change.open_table(META)?.insert(VERSION_KEY, VERSION)?;
        open_all(&change)?;
        change.commit()?;
        Ok(())
    };
    created().map_err(|error| match error {
        redb::Error::Io(error) => error,
        error => io::Error::other(error),
    })?;
    fs::rename(&new, path)?;
    File::open(folder)?.sync_all()
}

/// Tables are there from the beginning, so that a missing one is a damage.
fn open_all(change: &WriteTransaction) -> Result<(), redb::Error> {
    change.open_table(VERDICTS)?;
    change.open_table(OVERRIDES)?;
    change.open_table(DIALS)?;
    change.open_table(RAMPS)?;
    change.open_table(EVENTS)?;
    change.open_table(LATENCY)?;
    Ok(())
}

fn set_aside(path: &Path, end: &str, now: SystemTime) -> io::Result<PathBuf> {
    let seconds = now.duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
    // Those of earlier times stay.
    let names = (0..u64::MAX).map(|it| path.with_extension(format!("redb.{end}-{}", seconds + it)));
    for name in names {
        if !name.try_exists()? {
            fs::rename(path, &name)?;
            return Ok(name);
        }
    }
    Err(ErrorKind::AlreadyExists.into())
}

fn open_database(path: &Path) -> Result<Database, DatabaseError> {
    Database::builder().set_cache_size(STATE_CACHE_LEN).open(path)
}

/// Reads all that is in the file, with every checksum.
fn read(path: &Path) -> Result<(Database, Kept), Fault> {
    // What damage does to the library is not known for sure.
    let read = catch_unwind(AssertUnwindSafe(|| {
        let mut database = open_database(path)?;
        // Whether something had to be mended is of no interest: a crash is a reason to.
        database.check_integrity()?;
        let kept = read_all(&database)?;
        Ok((database, kept))
    }));
    read.unwrap_or_else(|_| Err(Fault::Damaged("reading it is a crash".to_owned())))
}

fn read_all(database: &Database) -> Result<Kept, Fault> {
    let snapshot = database.begin_read().map_err(redb::Error::from)?;
    let meta = snapshot.open_table(META)?;
    match meta.get(VERSION_KEY)?.map(|it| it.value()) {
        Some(VERSION) => {}
        Some(version) if VERSION < version => return Err(Fault::Newer(version)),
        _ => return Err(Fault::Damaged("it does not say its version".to_owned())),
    }
    let mut kept = Kept {
        override_id_last: meta.get(OVERRIDE_ID_LAST)?.map_or(0, |it| it.value()),
        ..Kept::default()
    };
    for row in snapshot.open_table(VERDICTS)?.iter()? {
        let (key, status) = row?;
        kept.verdicts.insert(rows::VerdictKey(key.value()), rows::known(status.value())?);
    }
    for row in snapshot.open_table(OVERRIDES)?.iter()? {
        let (id, text) = row?;
        kept.overrides.push(rows::override_of(id.value(), text.value())?);
    }
    for row in snapshot.open_table(DIALS)?.iter()? {
        let (region, text) = row?;
        kept.dials.push((region.value().to_owned(), rows::dial_of(text.value())?));
    }
    for row in snapshot.open_table(RAMPS)?.iter()? {
        let (pool, text) = row?;
        kept.ramps.push((pool.value().to_owned(), rows::standing_of(text.value())?));
    }
    for row in snapshot.open_table(EVENTS)?.iter()? {
        let (id, text) = row?;
        kept.events.push(rows::entry_of(id.value(), text.value())?);
    }
    for row in snapshot.open_table(LATENCY)?.iter()? {
        let (key, value) = row?;
        kept.latency.push((key.value().into(), value.value().into()));
    }
    Ok(kept)
}

/// Who writes.
pub(super) struct Writer {
    path: PathBuf,
    /// None after a failure, which the library does not get over.
    database: Option<Database>,
}

impl Writer {
    pub(super) fn new(path: PathBuf, database: Database) -> Self {
        Self { path, database: Some(database) }
    }

    /// Writes a batch, all of it or nothing, and gives the reason for nothing. Afterwards it is on
    /// the disk.
    pub(super) fn write<'a>(
        &mut self,
        batch: &Waiting,
        acts: impl Iterator<Item = &'a Act>,
    ) -> Result<(), String> {
        let database = match self.database.take() {
            Some(database) => database,
            None => open_database(&self.path).map_err(|error| error.to_string())?,
        };
        let written = catch_unwind(AssertUnwindSafe(|| write(&database, batch, acts)));
        match written {
            Ok(Ok(())) => {
                self.database = Some(database);
                Ok(())
            }
            Ok(Err(error)) => Err(error.to_string()),
            Err(_) => Err("writing is a crash".to_owned()),
        }
    }
}

fn write<'a>(
    database: &Database,
    batch: &Waiting,
    acts: impl Iterator<Item = &'a Act>,
) -> Result<(), redb::Error> {
    // A commit is on the disk when it returns, unless one asks for less.
    let change = database.begin_write()?;
    {
        let mut verdicts = change.open_table(VERDICTS)?;
        if let Some(known) = &batch.verdicts_known {
            verdicts.retain(|key, _| known.contains(&rows::VerdictKey(key)))?;
        }
        for (key, known) in &batch.verdicts {
            verdicts.insert(key.0, rows::known_row(*known))?;
        }
        let mut ramps = change.open_table(RAMPS)?;
        for (pool, standing) in &batch.ramps {
            // Full is what a pool is of which nothing is known.
            match standing {
                Standing::Full => drop(ramps.remove(pool.as_str())?),
                _ => drop(ramps.insert(pool.as_str(), rows::standing(*standing).as_slice())?),
            }
        }
        let mut latency = change.open_table(LATENCY)?;
        for (key, value) in &batch.latency {
            match value {
                Some(value) => drop(latency.insert(&**key, &**value)?),
                None => drop(latency.remove(&**key)?),
            }
        }
        let mut events = change.open_table(EVENTS)?;
        for entry in &batch.events {
            events.insert(entry.id, rows::entry(entry).as_slice())?;
        }
        while (EVENTS_KEPT_MAX as u64) < events.len()? {
            events.pop_first()?;
        }
    }
    write_acts(&change, acts)?;
    change.commit()?;
    Ok(())
}

fn write_acts<'a>(
    change: &WriteTransaction,
    acts: impl Iterator<Item = &'a Act>,
) -> Result<(), redb::Error> {
    let mut meta = change.open_table(META)?;
    let mut overrides = change.open_table(OVERRIDES)?;
    let mut dials = change.open_table(DIALS)?;
    for act in acts {
        match act {
            Act::Set(it) => {
                overrides.insert(it.id, rows::override_row(it).as_slice())?;
                let last = meta.get(OVERRIDE_ID_LAST)?.map_or(0, |last| last.value());
                meta.insert(OVERRIDE_ID_LAST, last.max(it.id))?;
            }
            Act::Clear(id) => drop(overrides.remove(id)?),
            Act::Dial(region, Some(it)) => {
                dials.insert(region.as_str(), rows::dial(it).as_slice())?;
            }
            Act::Dial(region, None) => drop(dials.remove(region.as_str())?),
        }
    }
    Ok(())
}

// ---- What a fault is ----

impl From<redb::Error> for Fault {
    fn from(error: redb::Error) -> Self {
        match error {
            redb::Error::DatabaseAlreadyOpen => Self::Busy,
            redb::Error::Io(error) if is_outside(&error) => Self::Outside(error),
            error => Self::Damaged(error.to_string()),
        }
    }
}

/// Whether an error says nothing of what is in a file.
fn is_outside(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        ErrorKind::PermissionDenied
            | ErrorKind::ReadOnlyFilesystem
            | ErrorKind::StorageFull
            | ErrorKind::QuotaExceeded
            | ErrorKind::OutOfMemory
            | ErrorKind::NotFound
    )
}

impl From<DatabaseError> for Fault {
    fn from(error: DatabaseError) -> Self {
        redb::Error::from(error).into()
    }
}

impl From<redb::TableError> for Fault {
    fn from(error: redb::TableError) -> Self {
        redb::Error::from(error).into()
    }
}

impl From<StorageError> for Fault {
    fn from(error: StorageError) -> Self {
        redb::Error::from(error).into()
    }
}

impl From<rows::Unreadable> for Fault {
    fn from(rows::Unreadable(what): rows::Unreadable) -> Self {
        Self::Damaged(format!("a row of the {what} cannot be read"))
    }
}
