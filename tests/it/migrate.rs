//! `dailies migrate`: once, twice and by several at once, on both kinds of database; and what it says when it cannot.

use std::process::{Command, Output, Stdio};

use crate::harness::{dailies, program};
use crate::postgres_server::PostgresServer;

fn migrate(database: &str) -> Command {
    let mut command = dailies();
    command.args(["migrate", "--database", database]).stdin(Stdio::null());
    command
}

fn said(output: &Output) -> String {
    let text = String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr);
    text.trim().to_owned()
}

/// Four at once, then once more.
fn migrate_an_empty_one(database: &str, shown: &str) {
    let spawn = |_| migrate(database).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("it starts");
    let running: Vec<_> = (0..4).map(spawn).collect();
    for child in running {
        let output = child.wait_with_output().expect("it ends");
        assert!(output.status.success(), "{}", said(&output));
        assert!(said(&output).contains(shown), "{}", said(&output));
    }
    let again = migrate(database).output().expect("it starts");
    assert!(again.status.success());
    assert_eq!(said(&again), format!("{shown} is at version 4, as this program needs it"));
}

#[test]
fn a_file_is_migrated_by_several_at_once_and_again() {
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("journal.sqlite").display().to_string();
    migrate_an_empty_one(&format!("sqlite:{file}"), &file);
}

#[test]
fn a_server_is_migrated_by_several_at_once_and_again_and_its_password_is_never_said() {
    let folder = tempfile::Builder::new().prefix("dailies-postgres-").tempdir().expect("a folder").keep();
    let server = PostgresServer::start_scratch(&folder, &[]).expect("PostgreSQL is installed: ./dev test");
    let url = server.url("postgres");
    let with_password = url.replace("dailies@", "dailies:hunter2@");
    let shown = format!("postgres://{}:5432/postgres", folder.display());
    migrate_an_empty_one(&with_password, &shown);

    let nowhere = migrate(&with_password.replace("/postgres?", "/films?")).output().expect("it starts");
    let reason = said(&nowhere);
    assert!(!nowhere.status.success() && reason.contains("\"films\" does not exist"), "{reason}");
    assert!(!reason.contains("hunter2"), "{reason}");
    let misspelt = migrate("postgre://dailies:hunter2@localhost/films").output().expect("it starts");
    let reason = said(&misspelt);
    assert!(!misspelt.status.success() && reason.contains("postgres://USER:PASSWORD@HOST:PORT/DATABASE"), "{reason}");
    assert!(!reason.contains("hunter2"), "{reason}");
}

#[test]
fn commands_say_in_their_help_how_a_database_is_named() {
    let output = program("coordinator").arg("--help").output().expect("it starts");
    assert!(said(&output).contains("postgres://USER@HOST/DATABASE"), "{}", said(&output));
}
