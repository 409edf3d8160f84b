//! A PostgreSQL server of our own, as a child: for a cluster on one machine, and for tests, which include this file.
//!
//! Boundary: one server over one folder, reached by the socket in it and by nothing else, so that it needs no port and no
//! password. Invariant: it does not outlive the process that started it, also when that is killed outright. A small shell
//! stands between the two: it does what it is told over a pipe, and ends the server when the pipe closes.

use std::ffi::OsString;
use std::fmt::Write as _;
use std::io::Write as _;
use std::os::unix::fs::{PermissionsExt as _, chown};
use std::os::unix::net::UnixStream;
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// How long a server may take to start or to stop.
const PATIENCE: Duration = Duration::from_secs(60);
/// PostgreSQL refuses to be root: who is root runs it as this one, which owns nothing else.
const NOBODY: u32 = 65534;
/// The shell in between. Its first argument is a folder to remove at the end, or nothing; the others start the server.
const KEEPER: &str = r#"
scratch=$1; shift; server=
end() { [ -z "$server" ] || { kill -s "$1" "$server"; wait "$server"; server=; }; }
while read -r word; do
  case $word in
    start) "$@" >>server.log 2>&1 & server=$! ;;
    stop) end INT ;;
    kill) end QUIT ;;
  esac
done
if [ -n "$scratch" ]; then end QUIT; rm -rf -- "$scratch"; else end INT; fi
"#;

/// Why there is no server.
#[derive(Debug, thiserror::Error)]
pub enum PostgresServerError {
    /// None is installed.
    #[error(
        "PostgreSQL was not found: install it (its programs initdb and postgres), or name their folder in DAILIES_POSTGRESQL"
    )]
    Missing,
    /// Its folder does not take its files.
    #[error("{} cannot be used", path.display())]
    Folder {
        /// Which file or folder.
        path: PathBuf,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// It does not do what it should.
    #[error("PostgreSQL does not {action}: {reason}")]
    Failed {
        /// What it should do.
        action: &'static str,
        /// What it said.
        reason: String,
    },
}

/// A server that runs.
#[derive(Debug)]
pub struct PostgresServer {
    folder: PathBuf,
    keeper: Child,
}

impl PostgresServer {
    /// Starts one over `folder`, with the databases that are there or with empty ones, and waits until it answers.
    /// `options` are settings of the server, such as `max_connections=20`.
    pub fn start(folder: &Path, options: &[&str]) -> Result<Self, PostgresServerError> {
        Self::start_kept(folder, options, true)
    }

    /// The same for as long as this process lives: the folder is removed with it.
    pub fn start_scratch(folder: &Path, options: &[&str]) -> Result<Self, PostgresServerError> {
        Self::start_kept(folder, options, false)
    }

    fn start_kept(folder: &Path, options: &[&str], keep: bool) -> Result<Self, PostgresServerError> {
        let programs = programs().ok_or(PostgresServerError::Missing)?;
        let in_folder = |source| PostgresServerError::Folder { path: folder.to_path_buf(), source };
        std::fs::create_dir_all(folder).map_err(in_folder)?;
        let folder = folder.canonicalize().map_err(in_folder)?;
        // Whoever can enter it may do everything to the databases.
        std::fs::set_permissions(&folder, std::fs::Permissions::from_mode(0o700)).map_err(in_folder)?;
        if nix::unistd::geteuid().is_root() {
            chown(&folder, Some(NOBODY), Some(NOBODY)).map_err(in_folder)?;
        }
        let data = folder.join("data");
        if !data.join("PG_VERSION").exists() {
            create(&programs, &folder, keep)?;
        }

        let scratch = if keep { OsString::new() } else { folder.clone().into_os_string() };
        let mut keeper = command("sh", &folder);
        keeper.args(["-c", KEEPER, "sh"]).arg(scratch).arg(programs.join("postgres"));
        keeper.arg("-D").arg(&data).args(["-c", "listen_addresses=", "-k"]).arg(&folder);
        keeper.args(options.iter().flat_map(|option| ["-c", option]));
        keeper.stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::null());
        let keeper = keeper.spawn().map_err(|source| PostgresServerError::Folder { path: folder.clone(), source })?;
        let mut server = Self { folder, keeper };
        server.start_again()?;
        Ok(server)
    }

    /// A database of this server, as settings name it.
    pub fn url(&self, database: &str) -> String {
        let mut host = String::new();
        for byte in self.folder.as_os_str().as_encoded_bytes() {
            match byte {
                b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'_' | b'.' => host.push(char::from(*byte)),
                // Writing to a text cannot fail.
                _ => drop(write!(host, "%{byte:02X}")),
            }
        }
        format!("postgres://dailies@localhost/{database}?host={host}")
    }

    /// Starts the server after [`Self::stop`] or [`Self::kill`], and waits until it answers.
    pub fn start_again(&mut self) -> Result<(), PostgresServerError> {
        self.tell("start");
        self.wait("start", Self::answers)
    }

    /// Stops the server as an operator does: who is connected is thrown out, what was committed is written.
    pub fn stop(&mut self) -> Result<(), PostgresServerError> {
        self.tell("stop");
        self.wait("stop", |server| !server.data().join("postmaster.pid").exists())
    }

    /// Ends the server at once, as when its machine fails.
    pub fn kill(&mut self) -> Result<(), PostgresServerError> {
        self.tell("kill");
        self.wait("stop", |server| !server.data().join("postmaster.pid").exists())
    }

    /// Starts a server that died by itself, and waits until it answers.
    pub fn restart(&mut self) -> Result<(), PostgresServerError> {
        // The dead one counts as running until somebody has looked at how it ended.
        self.tell("kill");
        self.start_again()
    }

    /// Where it listens.
    pub fn socket(&self) -> PathBuf {
        self.folder.join(".s.PGSQL.5432")
    }

    fn data(&self) -> PathBuf {
        self.folder.join("data")
    }

    fn tell(&mut self, word: &str) {
        // A keeper that is gone shows in what is waited for next.
        let _ = self.keeper.stdin.as_mut().map(|pipe| writeln!(pipe, "{word}"));
    }

    /// Whether it takes connections and has recovered what it had to.
    fn answers(&self) -> bool {
        let said = std::fs::read_to_string(self.data().join("postmaster.pid")).unwrap_or_default();
        said.lines().nth(7).is_some_and(|status| status.trim_end() == "ready")
            && UnixStream::connect(self.socket()).is_ok()
    }

    fn wait(&self, action: &'static str, done: impl Fn(&Self) -> bool) -> Result<(), PostgresServerError> {
        let since = Instant::now();
        while !done(self) {
            if since.elapsed() > PATIENCE {
                let log = std::fs::read_to_string(self.folder.join("server.log")).unwrap_or_default();
                let reason = log.lines().last().unwrap_or("it says nothing").to_owned();
                return Err(PostgresServerError::Failed { action, reason });
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        Ok(())
    }
}

impl Drop for PostgresServer {
    fn drop(&mut self) {
        drop(self.keeper.stdin.take());
        let _ = self.keeper.wait();
    }
}

/// Makes the files of an empty server.
fn create(programs: &Path, folder: &Path, keep: bool) -> Result<(), PostgresServerError> {
    let mut initdb = command(programs.join("initdb"), folder);
    initdb.arg("-D").arg(folder.join("data")).args(["-U", "dailies", "-E", "UTF8", "--no-locale", "--auth=trust"]);
    initdb.args((!keep).then_some("--no-sync")).stdin(Stdio::null());
    let failed = |reason| PostgresServerError::Failed { action: "create its files", reason };
    let output = initdb.output().map_err(|error| failed(error.to_string()))?;
    match output.status.success() {
        true => Ok(()),
        false => Err(failed(String::from_utf8_lossy(&output.stderr).trim().to_owned())),
    }
}

/// Out of reach of a Ctrl-C that is meant for us, and not as root.
fn command(program: impl AsRef<std::ffi::OsStr>, folder: &Path) -> Command {
    let mut command = Command::new(program);
    command.current_dir(folder).env("LC_ALL", "C").process_group(0);
    if nix::unistd::geteuid().is_root() {
        command.uid(NOBODY).gid(NOBODY);
    }
    command
}

/// The folder of the server's programs: `DAILIES_POSTGRESQL`, else on `PATH`, else where packages put them, newest first.
fn programs() -> Option<PathBuf> {
    let there = |folder: &PathBuf| ["initdb", "postgres"].iter().all(|program| folder.join(program).is_file());
    if let Some(named) = std::env::var_os("DAILIES_POSTGRESQL").filter(|name| !name.is_empty()) {
        return Some(PathBuf::from(named)).filter(there);
    }
    let path = std::env::var_os("PATH").unwrap_or_default();
    let said = Command::new("pg_config").arg("--bindir").stderr(Stdio::null()).output().ok();
    let said = said.map(|output| PathBuf::from(String::from_utf8_lossy(&output.stdout).trim()));
    let packaged = ["/usr/lib/postgresql", "/opt/homebrew/opt", "/usr/local/opt"].iter().flat_map(|folder| {
        let mut versions: Vec<_> = std::fs::read_dir(folder).into_iter().flatten().flatten().collect();
        versions.sort_by_key(|version| std::cmp::Reverse(version.file_name()));
        versions.into_iter().map(|version| version.path().join("bin"))
    });
    std::env::split_paths(&path).chain(said).chain(packaged).find(there)
}
