//! The sync from head to head: reads, asks, judges, writes, and begins anew where somebody else was faster.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use flagcache_payload::{Kind, Payload};

use super::judge::{CONFIRMATION, Judge, Judgement, Knowledge};
use super::plan::{Circumstances, Plan, kept, overrides_replaced, plan};
use super::survey::Survey;
use super::write::write;
use super::{Clock, Counts, Fetched, Outcome, Request, Settings, Summary, SyncError, Thoroughness, Upstream};
use crate::snapshot::{Base, Snapshot};
use crate::table::{BasePointer, CommitError, Head, SeenHead, Table};

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
    base: Mutex<Option<(u64, BasePointer, Arc<Base>)>>,
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

type Attempt<U> = Result<Ended, SyncError<<U as Upstream>::Error>>;

impl<T: Table, U: Upstream, C: Clock> Syncer<T, U, C> {
    /// Puts a sync together.
    pub const fn new(table: T, upstream: U, clock: C, settings: Settings) -> Self {
        Self { table, upstream, clock, settings, base: Mutex::new(None) }
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
        match (&request.thoroughness, seen.head.as_ref()) {
            (Thoroughness::Quick { .. }, Some(head)) if !distrust && lease.is_none() && head.base.is_some() => {
                self.quick(request, head).await
            }
            _ => self.whole(request, &seen).await,
        }
    }

    /// Trusts head and snapshot.
    async fn quick(&self, request: &Request, head: &Head) -> Attempt<U> {
        let mut judge = Judge::new(&request.thoroughness, CONFIRMATION.min(self.settings.freshness_window));
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
        for retry in 0.. {
            let current = match answer.take() {
                Some(answer) => answer,
                None => self.ask_anew(request).await?,
            };
            self.refuse_empty(&current.payload, head.totals.flags, head.totals.segments)?;
            let Ok(survey) = Survey::quick(head, &snapshot, &current.payload) else {
                return Ok(Ended::NotAsTheHeadSays);
            };
            let judgement = judge.judge(&current.payload, &survey.differences, &survey, current.asked_at_ms);
            let pause_ms = self.pause_before_asking_again(request, &judgement, retry);
            if let Some(pause_ms) = pause_ms.filter(|pause| self.clock.now_ms() + pause <= limit_ms) {
                self.clock.sleep(Duration::from_millis(pause_ms)).await;
                continue;
            }
            return self
                .conclude(
                    request,
                    &current,
                    &judgement,
                    &survey,
                    &SeenHead { nonce: Some(head.nonce), head: Some(head.clone()) },
                    true,
                )
                .await;
        }
        Ok(Ended::Overtaken)
    }

    /// Reads the items too, and makes the table whole.
    async fn whole(&self, request: &Request, seen: &SeenHead) -> Attempt<U> {
        let head = seen.head.as_ref();
        let snapshot = match head {
            Some(head) => {
                // As the table holds it: what is remembered may have been damaged there since.
                self.forget();
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
        for retry in 0.. {
            let current = self.ask_anew(request).await?;
            let survey = Survey::whole(&self.table, head, snapshot.as_ref(), &current.payload).await?;
            self.refuse_empty(&current.payload, survey.count(Kind::Flag), survey.count(Kind::Segment))?;
            let judgement = judge.judge(&current.payload, &survey.differences, &survey, current.asked_at_ms);
            let pause_ms = self.pause_before_asking_again(request, &judgement, retry);
            if let Some(pause_ms) = pause_ms.filter(|pause| self.clock.now_ms() + pause <= limit_ms) {
                self.clock.sleep(Duration::from_millis(pause_ms)).await;
                continue;
            }
            return self.conclude(request, &current, &judgement, &survey, seen, inited).await;
        }
        Ok(Ended::Overtaken)
    }

    /// Writes what was judged right.
    async fn conclude(
        &self,
        request: &Request,
        answer: &Answer,
        judgement: &Judgement,
        survey: &Survey<'_>,
        seen: &SeenHead,
        inited: bool,
    ) -> Attempt<U> {
        let head = seen.head.as_ref();
        let kept = kept(judgement, survey);
        let circumstances = Circumstances {
            head,
            etag: answer.etag.clone(),
            fetched_at_ms: answer.asked_at_ms,
            inited,
            new_lineage: self.clock.draw(),
            nonce: self.clock.draw(),
        };
        let mut plan = plan(&self.table, &answer.payload, judgement, &kept, survey, circumstances);
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
            Err(CommitError::Overtaken { item: true, head: false }) => Ok(Ended::NotAsTheHeadSays),
            Err(CommitError::Overtaken { .. }) => Ok(Ended::Overtaken),
            Err(CommitError::Unknown(error) | CommitError::Table(error)) => Err(error.into()),
        }
    }

    async fn ask_anew(&self, request: &Request) -> Result<Answer, SyncError<U::Error>> {
        self.ask(None, request).await?.ok_or(SyncError::NotModified)
    }

    async fn ask(&self, etag: Option<&str>, request: &Request) -> Result<Option<Answer>, SyncError<U::Error>> {
        let asked_at_ms = self.clock.now_ms();
        match self
            .upstream
            .fetch(etag, request.deadline_ms.saturating_sub(RESERVE_MS))
            .await
            .map_err(SyncError::Upstream)?
        {
            Fetched::NotModified => Ok(None),
            Fetched::Payload { body, etag } => Ok(Some(Answer { payload: Payload::parse(body)?, etag, asked_at_ms })),
        }
    }

    /// The snapshot that a head names; nothing where the table does not hold it.
    async fn snapshot(&self, head: &Head) -> Result<Option<Snapshot>, SyncError<U::Error>> {
        let Some(pointer) = head.base else { return Ok(None) };
        let base = match self.remembered(head.lineage, pointer) {
            Some(base) => base,
            None => match self.read_base(pointer).await? {
                Some(base) => self.remember(head.lineage, pointer, base),
                None => return Ok(None),
            },
        };
        Ok(Some(Snapshot::new(head.generation, base, head.delta.clone())))
    }

    async fn read_base(&self, pointer: BasePointer) -> Result<Option<Base>, SyncError<U::Error>> {
        let chunks = self.table.chunks(pointer.slot, 0..pointer.chunks).await?;
        Ok(pointer.join(chunks).and_then(|bytes| Base::decode(bytes).ok()))
    }

    fn remembered(&self, lineage: u64, pointer: BasePointer) -> Option<Arc<Base>> {
        let memory = self.base.lock().unwrap_or_else(PoisonError::into_inner);
        memory.as_ref().filter(|(of, at, _)| (*of, *at) == (lineage, pointer)).map(|(_, _, base)| Arc::clone(base))
    }

    fn forget(&self) {
        *self.base.lock().unwrap_or_else(PoisonError::into_inner) = None;
    }

    fn remember(&self, lineage: u64, pointer: BasePointer, base: Base) -> Arc<Base> {
        let base = Arc::new(base);
        *self.base.lock().unwrap_or_else(PoisonError::into_inner) = Some((lineage, pointer, Arc::clone(&base)));
        base
    }

    fn remember_written(&self, head: &Head, base: Option<Bytes>) {
        if let (Some(pointer), Some(Ok(base))) = (head.base, base.map(Base::decode)) {
            self.remember(head.lineage, pointer, base);
        }
    }

    fn refuse_empty(&self, payload: &Payload, flags: u64, segments: u64) -> Result<(), SyncError<U::Error>> {
        if self.settings.allow_empty {
            return Ok(());
        }
        if flags > 0 && payload.count(Kind::Flag) == 0 {
            return Err(SyncError::Empty { missing: "flags", held: flags });
        }
        if segments > 0 && !payload.has_segments_object() {
            return Err(SyncError::Empty { missing: "`segments` object", held: segments });
        }
        Ok(())
    }

    /// How long to wait before LaunchDarkly is asked again; nothing where no further answer is needed.
    fn pause_before_asking_again(&self, request: &Request, judgement: &Judgement, retry: u32) -> Option<u64> {
        let until_confirmable = judgement.confirmable_at_ms.map(|at| at.saturating_sub(self.clock.now_ms()).max(1));
        if judgement.fresh || request.thoroughness == Thoroughness::Whole {
            return until_confirmable;
        }
        let backoff = FIRST_PAUSE_MS.saturating_mul(1 << retry.min(10)).min(MAX_PAUSE_MS);
        Some(until_confirmable.map_or(backoff, |until| until.min(backoff)))
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

/// A head as what is held, where no answer is at hand.
struct Trusting<'a>(&'a Head);

impl super::judge::Held for Trusting<'_> {
    fn tombstone(&self, id: &flagcache_payload::ItemId) -> Option<crate::snapshot::Tombstone> {
        self.0.delta.tombstone(id)
    }

    fn synced_at_ms(&self) -> Option<u64> {
        Some(self.0.synced_at_ms)
    }
}

fn unchanged(head: &Head, fresh: bool) -> Summary {
    Summary {
        outcome: Outcome::Unchanged,
        flags: Counts { total: head.totals.flags, ..Counts::default() },
        segments: Counts { total: head.totals.segments, ..Counts::default() },
        fresh,
        too_large: head.too_large.clone(),
        generation: head.generation,
        attempts: 1,
        fetched_at_ms: head.synced_at_ms,
        overrides_replaced: Vec::new(),
    }
}

fn summary(plan: &Plan<'_>, fresh: bool, overrides_replaced: Vec<String>) -> Summary {
    let counts = |kind| plan.counts.get(&kind).copied().unwrap_or_default();
    Summary {
        outcome: plan.outcome(),
        flags: counts(Kind::Flag),
        segments: counts(Kind::Segment),
        fresh,
        too_large: plan.head.too_large.clone(),
        generation: plan.head.generation,
        attempts: 1,
        fetched_at_ms: plan.head.synced_at_ms,
        overrides_replaced,
    }
}

/// Until when LaunchDarkly may be asked again; never, where there is no window.
fn limit(from_ms: u64, window: Duration, request: &Request) -> u64 {
    let window_ms = u64::try_from(window.as_millis()).unwrap_or(u64::MAX);
    let end = request.deadline_ms.saturating_sub(RESERVE_MS);
    if window_ms == 0 { 0 } else { from_ms.saturating_add(window_ms).min(end) }
}
