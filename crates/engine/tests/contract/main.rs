//! What every engine owes, as tests that run against any: each is a function of a [`World`], which holds an engine and knows how to make
//! tasks for it. Another engine adds a file that makes its world, and a line below.

mod cluster;
mod cut;
mod ends;
mod faults;
mod kueue;
mod local;
mod lost_node;
mod nodes;
mod output;
mod places;
mod queues;
mod rolling;
mod waits;
mod world;

/// The whole contract for one engine. `$world`: makes one, anew for each test; `None` = there is none on this machine.
macro_rules! contract {
    ($engine:ident, $world:path) => {
        mod $engine {
            contract!(tests $world, [
                crate::ends::a_status_is_told as a_status_is_told,
                crate::ends::a_signal_is_told as a_signal_is_told,
                crate::ends::a_task_at_its_memory_limit_is_told_as_out_of_memory as a_task_at_its_memory_limit_is_told_as_out_of_memory,
                crate::ends::a_task_within_its_memory_limit_ends_well as a_task_within_its_memory_limit_ends_well,
                crate::ends::a_task_past_its_deadline_is_asked_then_killed as a_task_past_its_deadline_is_asked_then_killed,
                crate::ends::a_task_that_ends_well_when_its_deadline_asks_is_still_late as a_task_that_ends_well_when_its_deadline_asks_is_still_late,
                crate::ends::a_task_before_its_deadline_ends_by_itself as a_task_before_its_deadline_ends_by_itself,
                crate::ends::a_stopped_task_is_not_late as a_stopped_task_is_not_late,
                crate::ends::what_is_asked_twice_happens_once as what_is_asked_twice_happens_once,
                crate::ends::a_removed_task_is_not_known_any_more as a_removed_task_is_not_known_any_more,
                crate::ends::a_running_task_says_since_when_and_where as a_running_task_says_since_when_and_where,
                crate::waits::a_task_that_fits_nowhere_waits_and_says_what_is_missing as a_task_that_fits_nowhere_waits_and_says_what_is_missing,
                crate::waits::tasks_of_a_tenant_never_have_more_than_its_quota as tasks_of_a_tenant_never_have_more_than_its_quota,
                crate::waits::a_task_waits_for_its_secret_and_starts_when_it_is_there as a_task_waits_for_its_secret_and_starts_when_it_is_there,
                crate::waits::a_waiting_task_can_be_stopped_and_never_starts as a_waiting_task_can_be_stopped_and_never_starts,
                crate::waits::a_secret_reaches_its_task_and_nothing_else as a_secret_reaches_its_task_and_nothing_else,
                crate::waits::a_secret_of_another_tenant_is_not_there as a_secret_of_another_tenant_is_not_there,
                crate::output::reading_on_from_a_cursor_loses_and_doubles_no_line as reading_on_from_a_cursor_loses_and_doubles_no_line,
                crate::output::a_server_has_an_address_that_is_ready_when_it_takes_connections as a_server_has_an_address_that_is_ready_when_it_takes_connections,
                crate::output::a_watch_names_what_changed_and_nothing_while_nothing_does as a_watch_names_what_changed_and_nothing_while_nothing_does,
            ]);
        }
    };
    (tests $world:path, [$($test:path as $name:ident),* $(,)?]) => {
        $(#[tokio::test]
        async fn $name() {
            if let Some(world) = $world().await {
                $test(&world).await;
            }
        })*
    };
}

contract!(on_this_machine, crate::local::world);
contract!(on_a_cluster, crate::cluster::world);
