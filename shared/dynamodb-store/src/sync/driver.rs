//! The sync from head to head: reads, asks, judges, writes, and begins anew where somebody else was faster.

use std::borrow::Cow;
use std::collections::BTreeSet;
use std::time::Duration;

use bytes::Bytes;
use flagcache_payload::{ItemId, Kind, Payload};

use super::judge::{CONFIRMATION, Judge, Judgement, Knowledge, Times};
use super::memory::Memory;
use super::outcome::{summary, unchanged};
use super::plan::{Circumstances, kept, overrides_replaced, plan};
use super::survey::{Survey, Trusting};
use super::write::{take_over, write};
use super::{Clock, Fetched, Outcome, Request, Settings, Summary, SyncError, Thoroughness, Upstream};
use crate::snapshot::{Base, Snapshot};
use crate::table::{BasePointer, CommitError, Head, SeenHead, Table, TableError};

/// How often a sync begins anew at most.
const ATTEMPTS: u32 = 40;
/// What is left of the caller's time when waiting ends, for the writes that follow.
const RESERVE_MS: u64 = 1_500;
/// The first pause before LaunchDarkly is asked again; it doubles up to [`MAX_PAUSE_MS`].
const FIRST_PAUSE_MS: u64 = 100;
const MAX_PAUSE_MS: u64 = 1_000;
/// How long a whole sync may ask again, as the caller's time allows: where reading a large table takes longer than a
/// confirmation, there must be room for a second answer all the same.
const WHOLE_WINDOW: Duration = Duration::from_secs(30);

/// Brings one environment's part of a table up to LaunchDarkly's payload; kept from one sync to the next, it need not
/// read again the base that it has read.
#[derive(Debug)]
pub struct Syncer<T, U, C> {
    table: T,
    upstream: U,
    clock: C,
    settings: Settings,
    memory: Memory,
}

/// How an attempt ended.
enum Ended {
    Done(Summary),
    /// Somebody else wrote in between.
    Overtaken,
    /// The table is not as the head says.
    NotAsTheHeadSays,
    /// Somebody holds the lease for that many milliseconds more.
    Leased(u64),
}

/// A payload with what came along.
struct Answer {
    payload: Payload,
    etag: Option<String>,
    asked_at_ms: u64,
}

/// An answer, what it differs in from what is held, and what is to become of that.
struct Judged<'a> {
    answer: Answer,
    judgement: Judgement,
    survey: Survey<'a>,
}

type Attempt<U> = Result<Ended, SyncError<<U as Upstream>::Error>>;

impl<T: Table, U: Upstream, C: Clock> Syncer<T, U, C> {
    /// Puts a sync together.
    pub fn new(table: T, upstream: U, clock: C, settings: Settings) -> Self {
        Self { table, upstream, clock, settings, memory: Memory::default() }
    }

    /// Makes one sync.
    ///
    /// # Errors
    /// Where LaunchDarkly, the table or the time fails; the table is then as it was, or newer.
    pub async fn sync(&self, request: &Request) -> Result<Summary, SyncError<U::Error>> {
        let mut distrust = false;
        let mut attempt = 1;
        while attempt <= ATTEMPTS {
            match self.attempt(request, distrust).await? {
                Ended::Done(summary) => return Ok(Summary { attempts: attempt, ..summary }),
                Ended::Overtaken => {
                    self.wait(self.jitter(attempt), request, || SyncError::Overtaken { attempts: attempt }).await?;
                }
                Ended::NotAsTheHeadSays => distrust = true,
                Ended::Leased(remaining_ms) => {
                    let pause = Duration::from_millis(250 + self.clock.draw() % 250);
                    self.wait(pause, request, || SyncError::Busy { remaining_ms }).await?;
                    continue;
                }
            }
            attempt += 1;
        }
        Err(SyncError::Overtaken { attempts: ATTEMPTS })
    }

    async fn attempt(&self, request: &Request, distrust: bool) -> Attempt<U> {
        let seen = self.table.head().await?;
        let now_ms = self.clock.now_ms();
        let lease = seen.head.as_ref().and_then(|head| head.lease);
        if let Some(lease) = lease.filter(|lease| lease.is_held(now_ms)) {
            return Ok(Ended::Leased(lease.expires_at_ms - now_ms));
        }
        match (&request.thoroughness, seen.head) {
            (_, Some(head)) if head.lease.is_some() => match take_over(&self.table, &self.clock, head).await {
                Ok(seen) => self.whole(request, &seen).await,
                Err(error) => ended(error),
            },
            (Thoroughness::Quick { .. }, Some(head)) if !distrust && head.base.is_some() => {
                self.quick(request, head).await
            }
            (_, head) => self.whole(request, &SeenHead { head, ..seen }).await,
        }
    }

    /// Trusts head and snapshot.
    async fn quick(&self, request: &Request, head: Head) -> Attempt<U> {
        let seen = SeenHead { nonce: Some(head.nonce.into()), head: Some(head.clone()) };
        let head = &head;
        let mut judge = Judge::new(&request.thoroughness, CONFIRMATION);
        let mut answer = self.ask(head.etag.as_deref(), request).await?;
        let started_ms = self.clock.now_ms();
        let limit_ms = limit(started_ms, self.settings.freshness_window, request);
        if answer.is_none() && judge.is_known(Knowledge::Delta(&head.delta), &Trusting(head)) {
            return Ok(Ended::Done(unchanged(head, true)));
        }
        let Some(snapshot) = self.snapshot(head).await? else { return Ok(Ended::NotAsTheHeadSays) };
        if answer.is_none() && judge.is_known(Knowledge::Snapshot(&snapshot), &Trusting(head)) {
            return Ok(Ended::Done(unchanged(head, true)));
        }
        let mut earlier = None;
        for retry in 0.. {
            let asked = match answer.take() {
                Some(answer) => Ok(answer),
                None => self.ask_anew(request).await,
            };
            let asked = asked.and_then(|answer| self.refuse_empty(answer, head.totals.flags, head.totals.segments));
            let answer = match asked {
                Ok(answer) => answer,
                Err(error) => return self.conclude_earlier(request, earlier, error, &seen, true).await,
            };
            let Ok(survey) = Survey::quick(head, &snapshot, &answer.payload) else {
                return Ok(Ended::NotAsTheHeadSays);
            };
            // The head was read before.
            let times = Times { asked_at_ms: answer.asked_at_ms, held_by_ms: answer.asked_at_ms };
            let judgement = judge.judge(&answer.payload, &survey.differences, &survey, times);
            let judged = Judged { answer, judgement, survey };
            let Some(pause) = self.pause_before_asking_again(request, &judged.judgement, retry, limit_ms) else {
                return self.conclude(request, &judged, &seen, true).await;
            };
            self.clock.sleep(pause).await;
            earlier = Some(judged);
        }
        Ok(Ended::Overtaken)
    }

    /// Reads the items too, and makes the table whole.
    async fn whole(&self, request: &Request, seen: &SeenHead) -> Attempt<U> {
        let head = match &seen.head {
            Some(head) => Some(self.after_deletions(head).await?),
            None => None,
        };
        let head = head.as_deref();
        let snapshot = match head {
            Some(head) => {
                // As the table holds it: what is remembered may have been damaged there since.
                self.memory.forget();
                self.snapshot(head).await?
            }
            None => None,
        };
        let inited = self.table.inited().await?;
        let mut judge = Judge::new(&request.thoroughness, CONFIRMATION);
        let window = match request.thoroughness {
            Thoroughness::Whole => WHOLE_WINDOW,
            Thoroughness::Quick { .. } => self.settings.freshness_window,
        };
        let limit_ms = limit(self.clock.now_ms(), window, request);
        let mut earlier = None;
        for retry in 0.. {
            let (answer, survey) = match self.ask_and_survey(request, head, snapshot.as_ref()).await {
                Ok(surveyed) => surveyed,
                Err(error) => return self.conclude_earlier(request, earlier, error, seen, inited).await,
            };
            let times = Times { asked_at_ms: answer.asked_at_ms, held_by_ms: self.clock.now_ms() };
            let judgement = judge.judge(&answer.payload, &survey.differences, &survey, times);
            let judged = Judged { answer, judgement, survey };
            let Some(pause) = self.pause_before_asking_again(request, &judged.judgement, retry, limit_ms) else {
                return self.conclude(request, &judged, seen, inited).await;
            };
            self.clock.sleep(pause).await;
            earlier = Some(judged);
        }
        Ok(Ended::Overtaken)
    }

    /// The head as if a holder of the lease that died had written down what it had deleted by then.
    async fn after_deletions<'h>(&self, head: &'h Head) -> Result<Cow<'h, Head>, TableError> {
        if head.doomed.is_empty() {
            return Ok(Cow::Borrowed(head));
        }
        let mut there = BTreeSet::new();
        for kind in Kind::ALL {
            self.table.items(kind, &mut |item| there.extend([ItemId::new(kind, item.key)])).await?;
        }
        let mut after = head.clone();
        for (id, tombstone) in head.doomed.tombstones().filter(|(id, _)| !there.contains(id)) {
            after.delta.delete(id.clone(), tombstone);
        }
        Ok(Cow::Owned(after))
    }

    async fn ask_and_survey<'a>(
        &self,
        request: &Request,
        head: Option<&'a Head>,
        snapshot: Option<&'a Snapshot>,
    ) -> Result<(Answer, Survey<'a>), SyncError<U::Error>> {
        let answer = self.ask_anew(request).await?;
        let survey = Survey::whole(&self.table, head, snapshot, &answer.payload).await?;
        let answer = self.refuse_empty(answer, survey.count(Kind::Flag), survey.count(Kind::Segment))?;
        Ok((answer, survey))
    }

    /// Where LaunchDarkly fails when asked again, what it said before counts; where it never said anything, that is why.
    async fn conclude_earlier(
        &self,
        request: &Request,
        earlier: Option<Judged<'_>>,
        error: SyncError<U::Error>,
        seen: &SeenHead,
        inited: bool,
    ) -> Attempt<U> {
        let Some(earlier) = earlier.filter(|_| !matches!(error, SyncError::Table(_))) else { return Err(error) };
        let error: &dyn std::error::Error = &error;
        tracing::warn!(error, "LaunchDarkly failed when asked again: its earlier answer is taken");
        self.conclude(request, &earlier, seen, inited).await
    }

    /// Writes what was judged right.
    async fn conclude(&self, request: &Request, judged: &Judged<'_>, seen: &SeenHead, inited: bool) -> Attempt<U> {
        let Judged { answer, judgement, survey } = judged;
        let head = survey.head();
        let kept = kept(judgement, survey);
        let circumstances = Circumstances {
            head,
            etag: answer.etag.clone(),
            fetched_at_ms: answer.asked_at_ms,
            heard_by_ms: self.clock.now_ms(),
            inited,
            new_lineage: self.clock.draw(),
            nonce: self.clock.draw(),
        };
        let mut plan = plan(&self.table, &answer.payload, judgement, &kept, survey, circumstances);
        plan.changes_snapshot |= head.map(|head| &head.delta) != seen.head.as_ref().map(|head| &head.delta);
        let summary = summary(&plan, judgement.fresh, overrides_replaced(head, judgement));
        if let (Outcome::Unchanged, Some(head)) = (summary.outcome, head) {
            if head.etag == plan.head.etag && head.overrides == plan.head.overrides && head.lease.is_none() {
                return Ok(Ended::Done(Summary { generation: head.generation, ..summary }));
            }
            // Only the ETag is news, or that an override is none any more: no reader has to look.
            plan.head.generation = head.generation;
        }
        let base = plan.base.clone();
        match write(&self.table, &self.clock, plan, seen, request.deadline_ms).await {
            Ok(head) => {
                self.remember_written(&head, base);
                Ok(Ended::Done(Summary { generation: head.generation, ..summary }))
            }
            Err(error) => ended(error),
        }
    }

    async fn ask_anew(&self, request: &Request) -> Result<Answer, SyncError<U::Error>> {
        self.ask(None, request).await?.ok_or(SyncError::NotModified)
    }

    async fn ask(&self, etag: Option<&str>, request: &Request) -> Result<Option<Answer>, SyncError<U::Error>> {
        let asked_at_ms = self.clock.now_ms();
        let deadline_ms = request.deadline_ms.saturating_sub(RESERVE_MS);
        if asked_at_ms >= deadline_ms {
            // No answer would come in time, and that would not be LaunchDarkly's fault.
            return Err(SyncError::OutOfTime);
        }
        match self.upstream.fetch(etag, deadline_ms).await.map_err(SyncError::Upstream)? {
            Fetched::NotModified => Ok(None),
            Fetched::Payload { body, etag } => Ok(Some(Answer { payload: Payload::parse(body)?, etag, asked_at_ms })),
        }
    }

    /// The snapshot that a head names; nothing where the table does not hold it.
    async fn snapshot(&self, head: &Head) -> Result<Option<Snapshot>, SyncError<U::Error>> {
        let Some(pointer) = head.base else { return Ok(None) };
        let base = match self.memory.get(head.lineage, pointer) {
            Some(base) => base,
            None => match self.read_base(pointer).await? {
                Some(base) => self.memory.keep(head.lineage, pointer, base),
                None => return Ok(None),
            },
        };
        Ok(Some(Snapshot::new(head.generation, base, head.delta.clone())))
    }

    async fn read_base(&self, pointer: BasePointer) -> Result<Option<Base>, SyncError<U::Error>> {
        let chunks = self.table.chunks(pointer.slot, 0..pointer.chunks).await?;
        Ok(pointer.join(chunks).and_then(|bytes| Base::decode(bytes).ok()))
    }

    fn remember_written(&self, head: &Head, base: Option<Bytes>) {
        if let (Some(pointer), Some(Ok(base))) = (head.base, base.map(Base::decode)) {
            self.memory.keep(head.lineage, pointer, base);
        }
    }

    fn refuse_empty(&self, answer: Answer, flags: u64, segments: u64) -> Result<Answer, SyncError<U::Error>> {
        if self.settings.allow_empty {
            return Ok(answer);
        }
        let payload = &answer.payload;
        if flags > 0 && payload.count(Kind::Flag) == 0 {
            return Err(SyncError::Empty { missing: "flags", held: flags });
        }
        if segments > 0 && !payload.has_segments_object() {
            return Err(SyncError::Empty { missing: "`segments` object", held: segments });
        }
        Ok(answer)
    }

    /// How long to wait before LaunchDarkly is asked again; nothing where no further answer is needed, or none would come
    /// before the limit.
    fn pause_before_asking_again(
        &self,
        request: &Request,
        judgement: &Judgement,
        retry: u32,
        limit_ms: u64,
    ) -> Option<Duration> {
        let now_ms = self.clock.now_ms();
        let until_confirmable = judgement.confirmable_at_ms.map(|at| at.saturating_sub(now_ms).max(1));
        let backoff = FIRST_PAUSE_MS.saturating_mul(1 << retry.min(10)).min(MAX_PAUSE_MS);
        let waits_for_a_change = !judgement.fresh && request.thoroughness != Thoroughness::Whole;
        let pause_ms = match (until_confirmable, waits_for_a_change) {
            (Some(until), true) => Some(until.min(backoff)),
            (None, true) => Some(backoff),
            (until, false) => until,
        };
        pause_ms.filter(|pause| now_ms + pause <= limit_ms).map(Duration::from_millis)
    }

    async fn wait(
        &self,
        pause: Duration,
        request: &Request,
        otherwise: impl FnOnce() -> SyncError<U::Error>,
    ) -> Result<(), SyncError<U::Error>> {
        let until = self.clock.now_ms() + u64::try_from(pause.as_millis()).unwrap_or(u64::MAX);
        if until + RESERVE_MS > request.deadline_ms {
            return Err(otherwise());
        }
        self.clock.sleep(pause).await;
        Ok(())
    }

    fn jitter(&self, attempt: u32) -> Duration {
        let longest = 20_u64 << attempt.min(6);
        Duration::from_millis(1 + self.clock.draw() % longest)
    }
}

/// What a write that failed means for the attempt.
fn ended<U: std::error::Error>(error: CommitError) -> Result<Ended, SyncError<U>> {
    match error {
        CommitError::Overtaken { item: true, head: false } => Ok(Ended::NotAsTheHeadSays),
        CommitError::Overtaken { .. } => Ok(Ended::Overtaken),
        CommitError::OutOfTime => Err(SyncError::OutOfTime),
        CommitError::Unknown(error) | CommitError::Table(error) => Err(error.into()),
    }
}

/// Until when LaunchDarkly may be asked again; never, where there is no window.
fn limit(from_ms: u64, window: Duration, request: &Request) -> u64 {
    let window_ms = u64::try_from(window.as_millis()).unwrap_or(u64::MAX);
    let end = request.deadline_ms.saturating_sub(RESERVE_MS);
    if window_ms == 0 { 0 } else { from_ms.saturating_add(window_ms).min(end) }
}
