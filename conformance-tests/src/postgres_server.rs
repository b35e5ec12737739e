//! A throw-away Postgres: a real server in a folder of its own, gone when it is dropped or when the
//! process that started it ends, however it ends.
//!
//! It never touches a server that is already there: it listens on a socket in its folder, not on
//! TCP unless asked to. It installs nothing: without Postgres' server programs on the machine it cannot start.

use std::{
    env, fs,
    io::{BufRead, BufReader, Read},
    net::SocketAddr,
    os::unix::{
        fs::{MetadataExt, PermissionsExt},
        process::CommandExt,
    },
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    sync::atomic::{AtomicU32, Ordering},
};

use anyhow::{Context, Result, anyhow, bail, ensure};
use tempfile::TempDir;
use tokio_postgres::NoTls;

use crate::{pki::Credentials, reserved_port::ReservedPort};

/// A server with no data but what is put there.
#[derive(Debug)]
pub struct PostgresServer {
    folder: TempDir,
    user: User,
    supervisor: Child,
    databases: AtomicU32,
    options: Vec<String>,
    port: u16,
    /// Where it is called over TCP: so that it finds its port free when it starts again.
    reserved: Option<ReservedPort>,
    room: Room,
}

impl PostgresServer {
    /// Makes and starts one, in about a second, and returns when it takes connections. Blocks.
    ///
    /// Run as root, it works as the user `postgres` (or else `nobody`), since Postgres refuses to be
    /// run by root. Nothing is synced to disk, or even lies on one: what it holds outlives its processes, not the machine.
    ///
    /// # Errors
    /// Postgres' server programs are missing, or it does not start; with what it said.
    pub fn start() -> Result<PostgresServer> {
        Self::start_with(PORT, |_, _| Ok(Vec::new()))
    }

    /// [`PostgresServer::start`], but in a folder inside `place`, which must be on a disk, and what it commits is synced to
    /// that disk; `options` as `name=value`.
    ///
    /// # Errors
    /// Those of [`PostgresServer::start`].
    pub fn start_on_disk(place: &Path, options: &[&str]) -> Result<PostgresServer> {
        let durable = ["fsync=on", "shared_buffers=128MB"];
        let options = durable.iter().chain(options).map(|option| (*option).to_owned()).collect();
        Self::start_in(TempDir::with_prefix_in("postgres-", place)?, PORT, |_, _| Ok(options))
    }

    /// [`PostgresServer::start`], but its files have little room: a table of more than 17 MB is met with what Postgres says of
    /// a full disk. Its log has room.
    ///
    /// # Errors
    /// Those of [`PostgresServer::start`].
    pub fn start_with_little_room() -> Result<PostgresServer> {
        let mut server = Self::start()?;
        server.stop()?;
        server.room = Room::Little;
        server.start_again()?;
        Ok(server)
    }

    /// Stops it, and starts it with all the room there is.
    ///
    /// # Errors
    /// Those of [`PostgresServer::start_again`].
    pub fn make_room(&mut self) -> Result<()> {
        self.stop()?;
        self.room = Room::All;
        self.start_again()
    }

    /// A server that follows this one, and can only be read until it is promoted. It has what is committed here once this
    /// one is told to wait for it (`synchronous_standby_names`). This one is stopped meanwhile, to be copied. Blocks.
    ///
    /// # Errors
    /// Those of [`PostgresServer::start`].
    pub fn start_standby(&mut self) -> Result<PostgresServer> {
        let (folder, user) = owned(TempDir::with_prefix("postgres-")?)?;
        self.stop()?;
        let (from, to) = (self.folder.path().join("data"), folder.path().join("data"));
        let copied = Command::new("cp").arg("-a").args([&from, &to]).status()?;
        ensure!(copied.success(), "the data could not be copied");
        fs::write(to.join("standby.signal"), "")?;
        self.start_again()?;
        let (here, port) = (self.folder.path().display(), self.port);
        let options = vec![format!("primary_conninfo=host={here} port={port} user=postgres")];
        let supervisor = serve(&programs()?, &user, folder.path(), port, &options, Room::All)?;
        let (databases, reserved) = (AtomicU32::new(0), None);
        let room = Room::All;
        Ok(PostgresServer { folder, user, supervisor, databases, options, port, reserved, room })
    }

    /// [`PostgresServer::start`], but it is also called at `127.0.0.1`, over TLS alone, by whoever shows a certificate of
    /// `client_ca`.
    ///
    /// # Errors
    /// Those of [`PostgresServer::start`]; certificates that cannot be read.
    pub fn start_encrypted(own: &Credentials, client_ca: &Path) -> Result<PostgresServer> {
        let reserved = ReservedPort::reserve()?;
        let port = reserved.address.port();
        let mut started = Self::start_with(port, |folder, user| {
            let files = [("cert", &own.certificate), ("key", &own.key)];
            let mut options = vec!["listen_addresses=127.0.0.1".to_owned(), "ssl=on".to_owned()];
            for (name, from) in files.into_iter().chain([("ca", &client_ca.to_owned())]) {
                let to = folder.join(format!("{name}.pem"));
                fs::copy(from, &to)?;
                fs::set_permissions(&to, fs::Permissions::from_mode(0o600))?;
                if let User::Other { uid, gid } = *user {
                    std::os::unix::fs::chown(&to, Some(uid), Some(gid))?;
                }
                options.push(format!("ssl_{name}_file={}", to.display()));
            }
            let who =
                "local all all trust\nhostssl all all 127.0.0.1/32 trust clientcert=verify-ca\n";
            fs::write(folder.join("data/pg_hba.conf"), who)?;
            Ok(options)
        })?;
        started.reserved = Some(reserved);
        Ok(started)
    }

    fn start_with(
        port: u16,
        prepare: impl FnOnce(&Path, &User) -> Result<Vec<String>>,
    ) -> Result<PostgresServer> {
        // In memory where there is such a folder: most of what making a database costs is making its files.
        let folder = TempDir::with_prefix_in("postgres-", "/dev/shm");
        Self::start_in(folder.or_else(|_| TempDir::with_prefix("postgres-"))?, port, prepare)
    }

    fn start_in(
        folder: TempDir,
        port: u16,
        prepare: impl FnOnce(&Path, &User) -> Result<Vec<String>>,
    ) -> Result<PostgresServer> {
        let programs = programs()?;
        let (folder, user) = owned(folder)?;
        make_data(&programs, &user, folder.path())?;
        let options = prepare(folder.path(), &user)?;
        let supervisor = serve(&programs, &user, folder.path(), port, &options, Room::All)?;
        let (databases, reserved) = (AtomicU32::new(0), None);
        let room = Room::All;
        Ok(PostgresServer { folder, user, supervisor, databases, options, port, reserved, room })
    }

    /// Makes a new, empty database and returns how to connect to it, as `[ledger] postgres` takes it.
    ///
    /// # Errors
    /// The server refused; it may have been stopped.
    pub async fn make_database(&self) -> Result<String> {
        let name = format!("d{}", self.databases.fetch_add(1, Ordering::Relaxed));
        self.administrate(&format!("CREATE DATABASE {name}")).await?;
        Ok(self.address(&name))
    }

    /// Deletes a database that [`PostgresServer::make_database`] made, whoever is still connected to it. `address`: as it was
    /// returned.
    ///
    /// # Errors
    /// The server refused; it may have been stopped.
    pub async fn delete_database(&self, address: &str) -> Result<()> {
        let (_, name) = address.rsplit_once("dbname=").context("an address without a database")?;
        self.administrate(&format!("DROP DATABASE {name} WITH (FORCE)")).await
    }

    /// Stops the server, in an orderly way; what it holds stays.
    ///
    /// # Errors
    /// It could not be waited for.
    pub fn stop(&mut self) -> Result<()> {
        drop(self.supervisor.stdin.take());
        self.supervisor.wait()?;
        Ok(())
    }

    /// Ends it as a machine that fails does: at once, and nothing is put in order.
    ///
    /// # Errors
    /// It does not run.
    pub fn crash(&mut self) -> Result<()> {
        let process = self.process_id()?.to_string();
        let told = Command::new("kill").args(["-QUIT", &process]).status()?;
        ensure!(told.success(), "kill -QUIT failed");
        self.stop()
    }

    /// Starts a stopped server again on what it held. Blocks until it takes connections.
    ///
    /// # Errors
    /// It does not start; with what it said.
    pub fn start_again(&mut self) -> Result<()> {
        self.supervisor = serve(
            &programs()?,
            &self.user,
            self.folder.path(),
            self.port,
            &self.options,
            self.room,
        )?;
        Ok(())
    }

    /// The id of its first process, the parent of all others.
    ///
    /// # Errors
    /// It does not run.
    pub fn process_id(&self) -> Result<u32> {
        let file = fs::read_to_string(self.folder.path().join("data/postmaster.pid"))?;
        Ok(file.lines().next().context("an empty process id file")?.trim().parse()?)
    }

    /// The folder of its data and socket, which belongs to whom the server works as.
    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// Runs a statement that concerns the whole server, as its administrator.
    ///
    /// # Errors
    /// The server refused.
    pub async fn administrate(&self, statement: &str) -> Result<()> {
        let (client, connection) =
            tokio_postgres::connect(&self.administration(), NoTls).await.context("connecting")?;
        let connection = tokio::spawn(connection);
        client.batch_execute(statement).await?;
        drop(client);
        connection.await?.context("closing")
    }

    /// How to connect to it as its administrator.
    pub fn administration(&self) -> String {
        self.address("postgres")
    }

    fn address(&self, database: &str) -> String {
        let (folder, port) = (self.folder.path().display(), self.port);
        format!("host={folder} port={port} user=postgres dbname={database}")
    }

    /// Its socket.
    pub fn socket(&self) -> PathBuf {
        self.folder.path().join(format!(".s.PGSQL.{}", self.port))
    }

    /// How to connect to one of its databases through a network that leads to its socket.
    pub fn through(&self, address: &str, network: SocketAddr) -> String {
        let host = format!("host={} port={}", self.folder.path().display(), self.port);
        address.replace(&host, &format!("host={} port={}", network.ip(), network.port()))
    }

    /// How to connect to one of its databases here or at `other`.
    pub fn or(&self, address: &str, other: &PostgresServer) -> String {
        let (here, there) = (self.folder.path().display(), other.folder.path().display());
        address.replace(&format!("host={here}"), &format!("host={here},{there}"))
    }

    /// How to connect to one of its databases over TCP, where it may be called so.
    pub fn over_network(&self, address: &str, host: &str) -> String {
        address.replace(&format!("host={}", self.folder.path().display()), &format!("host={host}"))
    }
}

impl Drop for PostgresServer {
    fn drop(&mut self) {
        drop(self.supervisor.stdin.take()); // The sign to stop.
        let _gone = self.supervisor.wait();
    }
}

/// The usual one: without a network it only names the socket's file.
const PORT: u16 = 5432;

/// Gives a folder to whom a server in it is to work as.
fn owned(folder: TempDir) -> Result<(TempDir, User)> {
    let user = User::for_owner_of(folder.path())?;
    if let User::Other { uid, gid } = user {
        std::os::unix::fs::chown(folder.path(), Some(uid), Some(gid))?;
    }
    Ok((folder, user))
}

/// Makes the data folder `data` in `folder`, with one administrator, `postgres`, without a password.
fn make_data(programs: &Path, user: &User, folder: &Path) -> Result<()> {
    let made = user
        .command(&programs.join("initdb"), folder)
        .args(["--auth=trust", "--username=postgres", "--encoding=UTF8"])
        .args(["--no-locale", "--no-sync", "--no-instructions", "--pgdata=data"])
        .stdin(Stdio::null())
        .output()
        .context("running initdb")?;
    let said = String::from_utf8_lossy(&made.stderr);
    ensure!(made.status.success(), "initdb failed ({}): {said}", made.status);
    Ok(())
}

/// Starts the server on the data in `folder`, and returns its supervisor once it takes connections.
fn serve(
    programs: &Path,
    user: &User,
    folder: &Path,
    port: u16,
    options: &[String],
    room: Room,
) -> Result<Child> {
    // The shell reads until our end of the pipe is closed: by drop, or by the kernel if this process
    // is killed. SIGINT is Postgres' fast, orderly stop.
    const SUPERVISE: &str = r#"ulimit -S -f "$BLOCKS"; "$0" "$@" & server=$!; read -r _; kill -INT "$server"; wait "$server""#;
    let socket = folder.to_str().ok_or_else(|| anyhow!("the temporary folder is not UTF-8"))?;
    let mut supervisor = user
        .command(Path::new("sh"), folder)
        .args(["-c", SUPERVISE])
        .env("BLOCKS", room.blocks())
        .arg(programs.join("postgres"))
        .args(["-D", "data", "-c", "listen_addresses=", "-c"])
        .arg(format!("unix_socket_directories={socket}"))
        .arg("-c")
        .arg(format!("port={port}"))
        .args(["-c", "fsync=off", "-c", "shared_buffers=32MB", "-c", "max_connections=200"])
        .args(options.iter().flat_map(|option| ["-c", option]))
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .context("starting postgres")?;
    let log = supervisor.stderr.take().context("a pipe that was asked for")?;
    let mut log = BufReader::new(log);
    match wait_until_ready(&mut log) {
        Ok(()) => {
            // Read on, or the server would stand still once the pipe is full.
            std::thread::spawn(move || std::io::copy(&mut log, &mut std::io::sink()));
            Ok(supervisor)
        }
        Err(cause) => {
            drop(supervisor.stdin.take());
            supervisor.wait()?;
            Err(cause)
        }
    }
}

fn wait_until_ready(log: &mut impl BufRead) -> Result<()> {
    let mut said = String::new();
    // A log of more than this before it is ready is no good sign either.
    for line in log.take(64 * 1024).lines() {
        let line = line?;
        if line.contains("database system is ready to accept") {
            return Ok(());
        }
        // Whoever connects too early is refused, which is no failure of the server's.
        let refused = line.contains("the database system is starting up");
        let over =
            line.contains("database system is shut down") || line.contains("FATAL") && !refused;
        said.push_str(&line);
        said.push('\n');
        if over {
            break;
        }
    }
    bail!("Postgres did not start: {said}")
}

/// How large a file may become.
#[derive(Debug, Clone, Copy)]
enum Room {
    All,
    Little,
}

impl Room {
    /// As the shell takes it, in blocks of 512 bytes: a little more than a segment of the log, and an odd number, so that a
    /// page does not fit wholly; Postgres then says what it says of a full disk.
    fn blocks(self) -> &'static str {
        match self {
            Self::All => "unlimited",
            Self::Little => "34817",
        }
    }
}

/// As whom the server runs.
#[derive(Debug)]
enum User {
    Myself,
    Other { uid: u32, gid: u32 },
}

impl User {
    /// Another than root, if it is root who owns (and thus just made) `folder`.
    fn for_owner_of(folder: &Path) -> Result<User> {
        if fs::metadata(folder)?.uid() != 0 {
            return Ok(User::Myself);
        }
        let users = fs::read_to_string("/etc/passwd").context("looking for another user")?;
        ["postgres", "nobody"].iter().find_map(|name| User::named(name, &users)).context(
            "Postgres refuses to be run by root, and there is neither a user postgres nor nobody",
        )
    }

    fn named(name: &str, users: &str) -> Option<User> {
        users.lines().find_map(|line| {
            let mut columns = line.split(':');
            let found = columns.next()? == name;
            let (uid, gid) = (columns.nth(1)?.parse().ok()?, columns.next()?.parse().ok()?);
            found.then_some(User::Other { uid, gid })
        })
    }

    fn command(&self, program: &Path, folder: &Path) -> Command {
        let mut command = Command::new(program);
        command.current_dir(folder).env("LC_ALL", "C");
        if let User::Other { uid, gid } = *self {
            command.uid(uid).gid(gid);
        }
        command
    }
}

/// The folder that holds `initdb` and `postgres`: on the path, or where distributions put them, the
/// newest version first.
fn programs() -> Result<PathBuf> {
    let path = env::var_os("PATH").unwrap_or_default();
    let mut folders: Vec<PathBuf> = env::split_paths(&path).collect();
    let mut versions: Vec<(u32, PathBuf)> = fs::read_dir("/usr/lib/postgresql")
        .into_iter()
        .flatten()
        .flatten()
        .filter_map(|entry| Some((entry.file_name().to_str()?.parse().ok()?, entry.path())))
        .collect();
    versions.sort();
    folders.extend(versions.into_iter().rev().map(|(_, folder)| folder.join("bin")));
    folders
        .into_iter()
        .find(|folder| folder.join("initdb").exists() && folder.join("postgres").exists())
        .context(
            "Postgres' server programs (initdb, postgres) are not installed; on Debian: \
             apt-get install postgresql",
        )
}
