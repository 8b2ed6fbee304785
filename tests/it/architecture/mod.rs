//! Holds the house to its map: reads the sources, and fails on an import upwards or sideways, on a crate outside
//! its room, on files that grew too long, and on a map that no longer says what is there.

mod checker;

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use checker::{Map, Source};

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn read(path: &str) -> String {
    std::fs::read_to_string(root().join(path)).unwrap_or_else(|error| panic!("{path}: {error}"))
}

fn files_below(folder: &Path, found: &mut Vec<PathBuf>) {
    let mut entries: Vec<PathBuf> =
        std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    entries.sort();
    for path in entries {
        if path.is_dir() {
            files_below(&path, found);
        } else {
            found.push(path);
        }
    }
}

fn sources() -> Vec<Source> {
    let mut paths = vec![];
    files_below(&root().join("src"), &mut paths);
    paths
        .into_iter()
        .filter(|path| path.extension().is_some_and(|extension| extension == "rs"))
        .map(|path| {
            let text = std::fs::read_to_string(&path).unwrap();
            let path = path.strip_prefix(root().join("src")).unwrap().to_str().unwrap().to_owned();
            Source { path, text }
        })
        .collect()
}

#[test]
fn sources_keep_to_the_map() {
    let map = Map::parse(&read("ARCHITECTURE.md")).expect("ARCHITECTURE.md holds the map");
    let faults = checker::faults(&sources(), &map);
    assert!(faults.is_empty(), "\n{}", faults.join("\n"));
}

#[test]
fn the_map_names_exactly_the_rooms_that_exist() {
    let map = Map::parse(&read("ARCHITECTURE.md")).expect("ARCHITECTURE.md holds the map");
    let there: BTreeSet<String> = std::fs::read_dir(root().join("src"))
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .map(|path| path.file_stem().unwrap().to_str().unwrap().to_owned())
        .filter(|name| !matches!(name.as_str(), "lib" | "cli"))
        .collect();
    assert_eq!(map.rooms(), there);
}

#[test]
fn the_library_page_shows_the_same_map() {
    let page: String = read("src/lib.rs").lines().filter_map(|line| line.strip_prefix("//! ")).fold(
        String::new(),
        |mut page, line| {
            page.push_str(line);
            page.push('\n');
            page
        },
    );
    assert_eq!(Map::parse(&page), Map::parse(&read("ARCHITECTURE.md")));
}

#[test]
fn both_databases_have_the_same_migrations_in_one_row_of_numbers() {
    let names = |engine: &str| {
        let mut found = vec![];
        files_below(&root().join("migrations").join(engine), &mut found);
        found.iter().map(|path| path.file_name().unwrap().to_str().unwrap().to_owned()).collect::<Vec<_>>()
    };
    let sqlite = names("sqlite");
    assert_eq!(sqlite, names("postgres"));
    let numbers: Vec<usize> =
        sqlite.iter().map(|name| name.split('_').next().unwrap().parse().unwrap()).collect();
    assert_eq!(numbers, (1..=numbers.len()).collect::<Vec<_>>());
}

/// Up to this one, migrations were made before two versions ever ran side by side.
const ALONE: usize = 9;

/// Begins the comment of a migration that says why the version before goes on although something is taken away, or since which
/// version nothing uses it.
const EXPLAINED: &str = "-- takes away: ";

#[test]
fn a_migration_takes_nothing_away_that_the_version_before_uses() {
    let mut paths = vec![];
    files_below(&root().join("migrations"), &mut paths);
    let mut faults = vec![];
    for path in paths {
        let name = path.file_name().unwrap().to_str().unwrap();
        if name.split('_').next().unwrap().parse::<usize>().unwrap() <= ALONE {
            continue;
        }
        let text = std::fs::read_to_string(&path).unwrap();
        if text.lines().any(|line| line.strip_prefix(EXPLAINED).is_some_and(|why| why.len() > 20)) {
            continue;
        }
        faults.extend(contractions(&text).into_iter().map(|fault| format!("{}: {fault}", path.display())));
    }
    assert!(faults.is_empty(), "\n{}", faults.join("\n"));
}

#[test]
fn what_takes_away_is_seen() {
    for bad in [
        "DROP TABLE push;",
        "ALTER TABLE push DROP COLUMN turn;",
        "ALTER TABLE push RENAME TO pushes;",
        "alter table push rename column turn to round;",
        "ALTER TABLE push ALTER COLUMN turn SET NOT NULL;",
        "ALTER TABLE push ALTER COLUMN turn TYPE TEXT;",
        "ALTER TABLE push ADD COLUMN more BIGINT NOT NULL;",
        "ALTER TABLE push ADD CONSTRAINT early CHECK (turn < 9);",
        "DO $$ BEGIN EXECUTE format('ALTER TABLE push RENAME TO %I', 'pushes'); END $$;",
        "TRUNCATE push;",
    ] {
        assert_eq!(contractions(bad).len(), 1, "{bad}");
    }
    for good in [
        "CREATE TABLE other (id BIGINT NOT NULL PRIMARY KEY);",
        "ALTER TABLE push ADD COLUMN more BIGINT NOT NULL DEFAULT 0;\n-- the old index is not used any more\nDROP INDEX push_old;",
        "ALTER TABLE push ADD COLUMN more BIGINT;",
    ] {
        assert!(contractions(good).is_empty(), "{good}");
    }
}

/// Statements of a migration after which the version before fails: what it reads or writes is gone, or it must give what it
/// does not know of.
fn contractions(migration: &str) -> Vec<String> {
    let lines = migration.lines().map(|line| line.split("--").next().unwrap_or_default());
    let text = lines.collect::<Vec<_>>().join(" ").to_ascii_uppercase();
    let takes_away = |statement: &&str| {
        let changes = statement.contains("ALTER TABLE");
        let emptied = statement.contains("DROP TABLE") || statement.starts_with("TRUNCATE");
        let dropped = emptied || changes && statement.contains(" DROP ");
        let renamed = changes && statement.contains(" RENAME ");
        let narrowed = [" SET NOT NULL", " TYPE ", " ADD CONSTRAINT ", " ADD CHECK "];
        let narrowed = changes && narrowed.iter().any(|words| statement.contains(words));
        let wanted = changes && statement.contains(" ADD ") && statement.contains(" NOT NULL");
        dropped || renamed || narrowed || wanted && !statement.contains(" DEFAULT ")
    };
    let statements = text.split(';').map(str::trim);
    statements.filter(takes_away).map(str::to_owned).collect()
}
