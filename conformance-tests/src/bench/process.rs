//! A process under measurement: started, asked what it has used, and ended.
//!
//! Source of the figures: proc(5), `/proc/PID/stat` fields 4 and 14 to 17, `/proc/PID/status` VmRSS and VmHWM. Linux only.

use std::{fs, io::Read, mem, process::Stdio, thread, time::Duration};

use anyhow::Context;
use tokio::{
    io::{AsyncBufReadExt, AsyncRead, BufReader, Lines},
    process::{Child, Command},
    sync::oneshot,
};

/// `USER_HZ`, the unit of CPU times in `/proc`: 100 on every architecture this runs on, whatever the kernel's own tick.
const TICK: Duration = Duration::from_millis(10);

/// A running process; killed when dropped.
pub struct Process {
    name: &'static str,
    child: Child,
    id: u32,
    voice: Lines<BufReader<Box<dyn AsyncRead + Send + Unpin>>>,
}

/// Where a process says its lines.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Voice {
    /// On standard output.
    Output,
    /// On standard error.
    Error,
}

impl Process {
    /// Starts `command`, whose standard input stays open until [`Process::end`].
    ///
    /// # Errors
    /// It cannot be started.
    pub fn start(name: &'static str, voice: Voice, command: &mut Command) -> anyhow::Result<Self> {
        command.stdin(Stdio::piped()).kill_on_drop(true);
        match voice {
            Voice::Output => command.stdout(Stdio::piped()),
            Voice::Error => command.stderr(Stdio::piped()),
        };
        let mut child = command.spawn().with_context(|| format!("start {name}"))?;
        let (output, error) = (child.stdout.take(), child.stderr.take());
        let voice: Option<Box<dyn AsyncRead + Send + Unpin>> = match voice {
            Voice::Output => output.map(|output| Box::new(output) as _),
            Voice::Error => error.map(|error| Box::new(error) as _),
        };
        let voice = BufReader::new(voice.context("it has no voice")?).lines();
        let id = child.id().context("ended at once")?;
        Ok(Self { name, child, id, voice })
    }

    /// The next line it says.
    ///
    /// # Errors
    /// It ended instead.
    pub async fn line(&mut self) -> anyhow::Result<String> {
        let line = self.voice.next_line().await?;
        line.with_context(|| format!("{} ended before it was ready", self.name))
    }

    /// Lets it say what it likes from now on, unheard: a pipe nobody reads from would stop it once full.
    pub fn unheard(&mut self) {
        let silence: Box<dyn AsyncRead + Send + Unpin> = Box::new(tokio::io::empty());
        let mut voice = mem::replace(&mut self.voice, BufReader::new(silence).lines());
        tokio::spawn(async move { while let Ok(Some(_)) = voice.next_line().await {} });
    }

    /// CPU time of all its threads so far, in user and kernel mode; to 10 ms.
    ///
    /// # Errors
    /// It is gone.
    pub fn cpu(&self) -> anyhow::Result<Duration> {
        Ok(Stat::of(self.id).with_context(|| format!("{} is gone", self.name))?.own)
    }

    /// Memory it holds now, in KiB (VmRSS).
    ///
    /// # Errors
    /// It is gone.
    pub fn resident_kib(&self) -> anyhow::Result<u64> {
        self.kib("VmRSS:")
    }

    /// The most memory it ever held, in KiB (VmHWM).
    ///
    /// # Errors
    /// It is gone.
    pub fn peak_kib(&self) -> anyhow::Result<u64> {
        self.kib("VmHWM:")
    }

    fn kib(&self, key: &str) -> anyhow::Result<u64> {
        kib(&self.read("status")?, key)
    }

    fn read(&self, file: &str) -> anyhow::Result<String> {
        fs::read_to_string(format!("/proc/{}/{file}", self.id))
            .with_context(|| format!("{} is gone", self.name))
    }

    /// Ends it by closing its standard input, and returns the last line it says.
    ///
    /// # Errors
    /// It said nothing.
    pub async fn end(mut self) -> anyhow::Result<String> {
        drop(self.child.stdin.take());
        let last = self.line().await?;
        self.child.wait().await?;
        Ok(last)
    }

    /// Ends it at once.
    ///
    /// # Errors
    /// It cannot be ended.
    pub async fn kill(mut self) -> anyhow::Result<()> {
        self.child.kill().await.with_context(|| format!("end {}", self.name))
    }
}

/// CPU time so far of a process that was not started here, of its children, and of those that have ended; to 10 ms.
///
/// # Errors
/// It is gone.
pub fn cpu_of_family(parent: u32) -> anyhow::Result<Duration> {
    let stat = Stat::of(parent)?;
    let mut all = stat.own + stat.ended_children;
    for entry in fs::read_dir("/proc")?.flatten() {
        let child = entry.file_name().to_str().and_then(|name| name.parse().ok());
        // One that ends meanwhile is counted next time, among those that have ended.
        if let Some(stat) = child.and_then(|child| Stat::of(child).ok())
            && stat.parent == parent
        {
            all += stat.own + stat.ended_children;
        }
    }
    Ok(all)
}

/// What `/proc/PID/stat` says.
struct Stat {
    parent: u32,
    own: Duration,
    ended_children: Duration,
}

impl Stat {
    fn of(id: u32) -> anyhow::Result<Self> {
        let stat = fs::read_to_string(format!("/proc/{id}/stat"))?;
        // The name in brackets may hold blanks. Of what follows it, the 2nd is the parent, the 12th to 15th are times.
        let (_, fields) = stat.rsplit_once(") ").context("no process name in stat")?;
        let fields: Vec<_> = fields.split(' ').collect();
        let number = |at: usize| -> anyhow::Result<u32> {
            Ok(fields.get(at).context("stat is short")?.parse()?)
        };
        Ok(Self {
            parent: number(1)?,
            own: TICK * (number(11)? + number(12)?),
            ended_children: TICK * (number(13)? + number(14)?),
        })
    }
}

/// CPU time in user and in kernel mode, out of a process's `stat`.
pub(super) fn cpu_times(stat: &str) -> anyhow::Result<(Duration, Duration)> {
    // The name in brackets may hold blanks; counted from what follows it, the times are the 12th and 13th.
    let (_, fields) = stat.rsplit_once(") ").context("no process name in stat")?;
    let mut fields = fields.split(' ').skip(11);
    let mut ticks =
        || -> anyhow::Result<u32> { Ok(fields.next().context("no CPU time in stat")?.parse()?) };
    Ok((TICK * ticks()?, TICK * ticks()?))
}

/// An amount of memory, out of a process's `status`.
pub(super) fn kib(status: &str, key: &str) -> anyhow::Result<u64> {
    let line = status.lines().find_map(|line| line.strip_prefix(key));
    let number = line.and_then(|line| line.trim().strip_suffix(" kB"));
    Ok(number.with_context(|| format!("no {key}"))?.parse()?)
}

/// In a process that was started by [`Process::start`]: resolves when it is to end, or its starter is gone.
pub async fn told_to_end() {
    let (end, told) = oneshot::channel();
    thread::spawn(move || {
        // Nothing is ever written there: reading returns when the pipe is closed.
        let _closed = std::io::stdin().read(&mut [0]);
        end.send(())
    });
    let _told = told.await;
}
