//! Judging of sessions in memory, some at a time: a widget may have all of them.

use std::net::IpAddr;
use std::sync::Arc;

use super::{LeftSession, SessionMemory, SessionSource, TakenSeat};
use embedgate_policy::verdict::Reason;

/// Sessions of one source that the rules deny now.
#[derive(Clone, Debug)]
pub struct DeniedSource {
    /// What they rest on.
    pub source: Arc<SessionSource>,
    /// The reason of the verdict.
    pub reason: Reason,
    /// Their ids, in the order in which they were named.
    pub ids: Vec<Arc<str>>,
}

/// Place among the sessions of a widget up to which they were judged.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct JudgingPlace {
    source: u64,
    session: u64,
}

/// What is left to be judged of a widget.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LeftToJudge {
    /// Nothing.
    Nothing,
    /// What comes from this place on.
    From(JudgingPlace),
    /// The same, once there is room to tell of more that are denied.
    WithoutRoom(JudgingPlace),
}

/// How many sources and sessions are judged, and denied sources told, at once.
#[derive(Clone, Copy, Debug)]
pub struct JudgingBounds {
    /// Most sources, and most sessions, that are looked at.
    pub at_once: usize,
    /// Most sources that may be denied.
    pub room: usize,
}

/// Gives a session its place among those that are open.
pub type GivesPlace<'g> = &'g dyn Fn(&SessionSource, Option<IpAddr>) -> Option<TakenSeat>;

impl SessionMemory {
    /// Judges some sessions of a widget, from this place on: forgets those that are denied, and gives others that count as
    /// open their places, where they have none.
    pub fn judge(
        &mut self,
        widget: &str,
        from: JudgingPlace,
        bounds: JudgingBounds,
        verdict: impl Fn(&SessionSource) -> Option<Reason>,
        gives_place: Option<GivesPlace<'_>>,
    ) -> (Vec<DeniedSource>, LeftToJudge) {
        let (mut denied, mut place) = (Vec::new(), from);
        let JudgingBounds { at_once, mut room } = bounds;
        let (mut sources_left, mut sessions_left) = (at_once, at_once);
        loop {
            let of_widget = self.widgets.get(widget);
            let next = of_widget.and_then(|of_widget| {
                let (number, source) = of_widget.order.range(place.source..).next()?;
                Some((*number, Arc::clone(source), of_widget.sources.get(source)?))
            });
            let Some((number, source, of_source)) = next else { return (denied, LeftToJudge::Nothing) };
            if number != place.source {
                place = JudgingPlace { source: number, session: 0 };
            }
            if sources_left == 0 || sessions_left == 0 {
                return (denied, LeftToJudge::From(place));
            }
            sources_left -= 1;
            if let Some(reason) = verdict(&source) {
                if room == 0 {
                    return (denied, LeftToJudge::WithoutRoom(place));
                }
                room -= 1;
                let numbers: Vec<u64> = of_source.ages.iter().take(sessions_left).copied().collect();
                sessions_left -= numbers.len();
                let ids = numbers.into_iter().filter_map(|number| Some(self.take(number)?.id)).collect();
                denied.push(DeniedSource { source, reason, ids });
                continue;
            }
            let after = JudgingPlace { source: number + 1, session: 0 };
            let Some(gives_place) = gives_place else {
                place = after;
                continue;
            };
            let mut numbers = of_source.ages.range(place.session..);
            for number in numbers.by_ref().take(sessions_left) {
                sessions_left -= 1;
                if let Some(LeftSession { name, stay: Some(stay), .. }) = self.by_age.get_mut(number)
                    && stay.place.is_none()
                {
                    stay.place = gives_place(&name.source, stay.address);
                }
            }
            place = numbers.next().map_or(after, |next| JudgingPlace { source: number, session: *next });
        }
    }
}
