"""The wire contract of Toxiproxy, case by case, and the tests that hold our server to it.

The sections are those of the contract's description (Toxiproxy 2.12, measured at commit f48fd7f): 2.1 routes, 2.2
errors and bodies, 2.3 proxies, 2.4 toxics, 2.5 populate and reset, 2.6 what passes, 2.7 what the command-line client
does. UPSTREAM are Toxiproxy's own tests, by their names or by what they test. A test of ours is written
`file::function`, without `test_` and `.py`.
"""

from __future__ import annotations

CONTRACT: dict[str, dict[str, str]] = {
    "2.1": {
        "GET /version: space, newline, content type": "routes::version_has_the_space_and_the_newline",
        "status code and shape of every route": "routes::status_codes_and_shapes_of_every_route",
        "POST changes as PATCH does": "routes::status_codes_and_shapes_of_every_route",
        "an added toxic is 200, not 201": "routes::status_codes_and_shapes_of_every_route",
        "an empty populate is null": "routes::status_codes_and_shapes_of_every_route",
        "unknown path: 404 as text; trailing slash; %2F": "routes::an_unknown_path_is_plain_text",
        "wrong method: 405, empty, no Allow; HEAD": "routes::a_wrong_method_is_empty_and_allows_nothing",
        "//proxies is redirected": "routes::paths_are_cleaned_by_redirect",
        "queries are ignored, names are decoded": "routes::queries_are_ignored_and_names_are_decoded",
        "names that cannot be addressed are refused": "proxies::a_name_that_could_never_be_addressed_is_refused",
        "request id on matched routes only": "routes::matched_routes_answer_with_an_id_of_the_request",
        "browsers are refused, by prefix and case": "routes::browsers_are_refused",
        "25 s, then 503 as HTML": "routes::a_handler_that_takes_too_long_is_a_503_page",
        "time limits of reading and idling": "routes::a_client_that_says_nothing_or_stops_half_way_is_let_go",
        "keep-alive and pipelining": "routes::connections_are_kept_and_requests_may_be_pipelined",
        "chunked bodies, 100-continue": "routes::bodies_may_be_chunked_and_may_wait_for_a_continue",
        "/metrics by any method, content type": "metrics::any_method_will_do",
        "/metrics without a flag is not there": "metrics::without_a_flag_there_are_none",
        "what is not HTTP": "routes::what_is_not_http_is_refused_and_the_server_goes_on",
    },
    "2.2": {
        "errors are JSON sent as text, nosniff, newline": "errors::an_error_is_json_that_says_it_is_text",
        "errors of populate: JSON, no newline, proxies": (
            "errors::an_error_of_populate_is_json_without_a_newline_and_with_proxies"
        ),
        "EOF, unexpected EOF, missing fields, null": "errors::what_creating_complains_of",
        "wrong types and values": "errors::other_bodies_are_refused_with_a_detail",
        "the words of Go": "errors::type_errors_are_in_the_words_of_go",
        "keys in any case, unknown keys, null, trailing text": (
            "errors::keys_of_any_case_unknown_keys_nulls_repeats_and_what_follows"
        ),
        "content type of requests is not looked at": (
            "errors::keys_of_any_case_unknown_keys_nulls_repeats_and_what_follows"
        ),
        "surrogates": "errors::half_a_surrogate_pair_in_a_name_becomes_a_replacement_character",
        "404 before the body is read, proxy before toxic": "errors::not_found_comes_before_the_body_is_read",
        "409 proxy already exists; 500 of the network": "proxies::a_taken_port_and_a_taken_name",
        "500 texts of bad addresses": "proxies::where_it_cannot_listen",
        "whole numbers reject 1.5 and '5'": "errors::the_order_in_which_a_toxic_is_checked",
    },
    "2.3": {
        "listen becomes the resolved address; [::]": "proxies::listen_becomes_the_real_address",
        "defaults: enabled, listen ''": "proxies::listen_becomes_the_real_address",
        "a disabled proxy keeps its text": "proxies::a_disabled_proxy_keeps_its_text_and_listens_when_enabled",
        "upstream is not checked; may become ''": "proxies::the_upstream_is_not_looked_at_before_it_is_needed",
        "order of checks when creating": "proxies::a_taken_port_and_a_taken_name",
        "{} changes nothing; name is ignored; host name": (
            "proxies::an_update_that_changes_nothing_keeps_connections_and_ignores_the_name"
        ),
        "another upstream: connections drop, toxics stay": (
            "proxies::another_upstream_drops_connections_and_keeps_toxics"
        ),
        "another listen; 0.0.0.0 is always another": "proxies::another_listen_moves_the_proxy",
        "a failed restart: disabled, with the new listen": (
            "proxies::a_restart_that_fails_leaves_it_disabled_with_the_new_address"
        ),
        "disable: refused, clean end; enable: same port": (
            "proxies::disabling_refuses_closes_cleanly_and_returns_to_the_same_port"
        ),
        "delete closes and forgets": "proxies::deleting_closes_and_forgets",
        "listed by name": "proxies::proxies_are_listed_by_name",
        "Logger is shown where we are strict only": "strict::it_looks_like_toxiproxy",
    },
    "2.4": {
        "defaults of every type": "toxics::defaults",
        "stream in any case, kept as sent; name from it": "toxics::the_stream_is_read_in_any_case_and_kept_as_sent",
        "order of checks; names unique over both streams": "errors::the_order_in_which_a_toxic_is_checked",
        "stream '' is an error, null the default": "errors::the_order_in_which_a_toxic_is_checked",
        "1.x attributes are ignored, unknown ones too": "toxics::the_old_style_of_attributes_is_ignored",
        "update merges; name, type, stream are ignored": (
            "toxics::an_update_merges_attributes_and_ignores_the_rest"
        ),
        "list order": "toxics::lists_show_upstream_first_each_in_order_of_creation",
        "data passes in that order": "chain::data_passes_them_in_the_order_of_their_creation",
        "toxicity by connection and stream": "chain::toxicity_is_drawn_for_each_connection_from_the_seed",
        "add, update, remove act on open connections": (
            "chain::nothing_is_lost_or_reordered_while_toxics_come_and_go"
        ),
        "better: ranges": "toxics::attributes_out_of_range_are_refused",
        "better: range of toxicity": "toxics::toxicity_out_of_range_is_refused",
        "better: atomic updates": "toxics::an_update_is_done_as_a_whole_or_not_at_all",
        "better: toxicity is not drawn again": (
            "chain::an_update_never_draws_again_but_toxicity_takes_effect_on_open_connections"
        ),
    },
    "2.5": {
        "populate creates, enabled by default": "populate::it_creates_and_answers_with_what_it_made",
        "all checks first": "populate::nothing_is_created_when_one_is_wrong",
        "stops at the first error, keeps the earlier": (
            "populate::it_stops_at_the_first_that_cannot_listen_and_keeps_the_earlier"
        ),
        "the same is untouched, enabled ignored": (
            "populate::the_same_proxy_is_left_alone_whatever_enabled_says"
        ),
        "a different one replaces, without toxics": (
            "populate::a_different_proxy_replaces_the_old_one_and_its_toxics"
        ),
        "a replacement that cannot listen": (
            "populate::when_the_replacement_cannot_listen_the_old_one_stays_disabled"
        ),
        "better: toxics in populate": "populate::toxics_are_honoured_and_kept_when_they_are_the_same",
        "reset enables, removes toxics, keeps the rest": (
            "populate::reset_enables_removes_toxics_and_keeps_the_rest"
        ),
        "reset closes under timeout": "populate::reset_closes_connections_under_a_timeout",
        "reset stops at an error": "populate::reset_stops_at_a_proxy_that_cannot_listen",
        "-config: populate at the start": "command::a_configuration_file_may_hold_toxics",
        "better: a bad -config is never green": "command::a_bad_configuration_file_is_never_green",
    },
    "2.6": {
        "data unchanged, of every size": "data_plane::messages_of_every_size_pass_unchanged",
        "upstream refused: accepted, then the end": (
            "data_plane::an_upstream_that_refuses_is_a_connection_that_ends_at_once"
        ),
        "better: a dial that hangs blocks nobody": "data_plane::an_upstream_that_hangs_blocks_nobody",
        "better: half close of the client": "data_plane::half_close_of_the_client_still_gets_the_answer",
        "better: half close of the upstream": "data_plane::half_close_of_the_upstream_lets_the_client_finish",
        "no half close where we are strict": "strict::half_an_end_closes_everything",
        "the end travels in order": "latency::the_end_alone_is_on_its_way_as_long_as_data",
        "better: bytes are counted live": "metrics::bytes_are_counted_while_they_pass_by_direction",
        "bytes at the end where we are strict": "strict::bytes_are_counted_when_the_connection_has_ended",
        "latency: each stream": "latency::each_direction_alone_and_both_together",
        "latency: from the arrival, in order, not per byte": (
            "latency::chunks_are_on_the_way_together_and_keep_their_distance_and_order"
        ),
        "latency: jitter": "timing::jitter_is_whole_milliseconds_within_its_bounds_and_never_reorders",
        "latency: two add up": "latency::two_add_up_without_drift",
        "latency: connecting is not delayed; 0": "latency::zero_delays_nothing_and_connecting_is_never_delayed",
        "latency: removal flushes": "latency::removing_it_lets_go_what_waits_data_and_end",
        "latency: does not limit the rate": "latency::it_does_not_limit_the_rate",
        "bandwidth: 1000 bytes, slices of 100 ms": (
            "bandwidth::a_kilobyte_is_a_thousand_bytes_and_slices_last_100_ms"
        ),
        "bandwidth: rate 0": "bandwidth::zero_lets_nothing_through_until_it_is_changed",
        "slow_close": "closing_toxics::slow_close_delays_the_end_only",
        "timeout: since the last data": "closing_toxics::timeout_swallows_and_closes_after_the_last_data",
        "timeout: 0 and removal": "closing_toxics::timeout_zero_is_silence_until_it_is_removed_which_closes",
        "reset_peer: after the first data; idle is left": (
            "closing_toxics::reset_peer_waits_from_the_first_data_and_leaves_the_idle_alone"
        ),
        "reset_peer: at the end": "closing_toxics::reset_peer_resets_at_the_end_as_well",
        "better: reset_peer on open connections": "closing_toxics::reset_peer_resets_both_sides",
        "reset_peer from the beginning only where we are strict": (
            "strict::only_a_connection_that_began_with_reset_peer_is_reset"
        ),
        "better: its wait can be ended": "closing_toxics::the_wait_of_reset_peer_can_be_ended_and_the_data_passes",
        "better: toxicity 0 does nothing": "chain::toxicity_zero_changes_nothing_at_all",
        "slicer: halves about the average": "slicer::sizes_are_about_the_average",
        "slicer: microseconds": "timing::slices_are_their_delay_apart",
        "limit_data: exactly, then the end": "closing_toxics::limit_data_passes_exactly_so_many_bytes",
        "limit_data: 0": "closing_toxics::limit_data_of_nothing_closes_at_the_first_data_only",
        "limit_data: through updates": "closing_toxics::limit_data_counts_on_through_updates_and_by_connection",
        "noop": "data_plane::megabytes_pass_unchanged_both_ways_at_once",
        "packet_loss is not there": "toxics::packet_loss_is_not_a_type",
    },
    "2.7": {
        "create, list, inspect, toggle, delete": "cli_requests::proxies_as_the_command_line_client_asks",
        "toxic add, update, remove": "cli_requests::toxics_as_the_command_line_client_asks",
        "an update without toxicity sends 1": "cli_requests::toxics_as_the_command_line_client_asks",
        "server flags": "command::it_serves_without_a_command_as_toxiproxy_server_does",
        "LOG_LEVEL, signals": "command::a_signal_is_a_clean_stop",
    },
}

UPSTREAM: dict[str, str] = {
    # api_test.go
    "TestRequestId": "routes::matched_routes_answer_with_an_id_of_the_request",
    "TestBrowserGets403": "routes::browsers_are_refused",
    "TestNonBrowserGets200": "routes::browsers_are_refused",
    "TestIndexWithNoProxies": "routes::status_codes_and_shapes_of_every_route",
    "TestCreateProxyBlankName": "errors::what_creating_complains_of",
    "TestCreateProxyBlankUpstream": "errors::what_creating_complains_of",
    "TestPopulateProxy": "populate::it_creates_and_answers_with_what_it_made",
    "TestPopulateDefaultEnabled": "populate::it_creates_and_answers_with_what_it_made",
    "TestPopulateDisabledProxy": "populate::it_creates_and_answers_with_what_it_made",
    "TestPopulateExistingProxy": "populate::the_same_proxy_is_left_alone_whatever_enabled_says",
    "TestPopulateWithBadName": "populate::nothing_is_created_when_one_is_wrong",
    "TestPopulateProxyWithBadDataShouldReturnError": (
        "populate::it_stops_at_the_first_that_cannot_listen_and_keeps_the_earlier"
    ),
    "TestPopulateAddToxic": "populate::the_same_proxy_is_left_alone_whatever_enabled_says",
    "TestListingProxies": "proxies::proxies_are_listed_by_name",
    "TestCreateAndGetProxy": "routes::status_codes_and_shapes_of_every_route",
    "TestCreateProxyWithSave": "cli_requests::proxies_as_the_command_line_client_asks",
    "TestCreateDisabledProxy": "proxies::a_disabled_proxy_keeps_its_text_and_listens_when_enabled",
    "TestCreateDisabledProxyAndEnable": "proxies::a_disabled_proxy_keeps_its_text_and_listens_when_enabled",
    "TestDeleteProxy": "proxies::deleting_closes_and_forgets",
    "TestCreateProxyPortConflict": "proxies::a_taken_port_and_a_taken_name",
    "TestCreateProxyNameConflict": "proxies::a_taken_port_and_a_taken_name",
    "TestResetState": "populate::reset_enables_removes_toxics_and_keeps_the_rest",
    "TestListingToxics": "toxics::lists_show_upstream_first_each_in_order_of_creation",
    "TestAddToxic": "toxics::defaults",
    "TestAddMultipleToxics": "toxics::lists_show_upstream_first_each_in_order_of_creation",
    "TestAddConflictingToxic": "errors::the_order_in_which_a_toxic_is_checked",
    "TestAddConflictingToxicsMultistream": "errors::the_order_in_which_a_toxic_is_checked",
    "TestAddConflictingToxicsMultistreamDefaults": "toxics::the_same_type_on_both_streams_has_two_names",
    "TestAddToxicWithToxicity": "toxics::an_update_merges_attributes_and_ignores_the_rest",
    "TestAddNoop": "toxics::defaults",
    "TestUpdateToxics": "toxics::an_update_merges_attributes_and_ignores_the_rest",
    "TestRemoveToxic": "routes::status_codes_and_shapes_of_every_route",
    "TestVersionEndpointReturnsVersion": "routes::version_has_the_space_and_the_newline",
    "TestInvalidStream": "errors::the_order_in_which_a_toxic_is_checked",
    # proxy_test.go
    "ProxySimpleMessage": "data_plane::messages_of_every_size_pass_unchanged",
    "ProxyToDownUpstream": "data_plane::an_upstream_that_refuses_is_a_connection_that_ends_at_once",
    "ProxyBigMessage": "data_plane::megabytes_pass_unchanged_both_ways_at_once",
    "ProxyTwoPartMessage": "data_plane::messages_of_every_size_pass_unchanged",
    "ClosingProxyMultipleTimes": "proxies::enabling_and_disabling_many_times",
    "StartTwoProxiesOnSameAddress": "proxies::a_taken_port_and_a_taken_name",
    "StopProxyBeforeStarting": "proxies::enabling_and_disabling_many_times",
    "ProxyUpdate": "proxies::another_upstream_drops_connections_and_keeps_toxics",
    "ProxyUpdateWithHostname": (
        "proxies::an_update_that_changes_nothing_keeps_connections_and_ignores_the_name"
    ),
    "RestartFailedToStartProxy": "proxies::a_restart_that_fails_leaves_it_disabled_with_the_new_address",
    # toxics/*_test.go
    "UpstreamLatencyEven": "latency::each_direction_alone_and_both_together",
    "UpstreamLatencyBiasUp": "timing::jitter_is_whole_milliseconds_within_its_bounds_and_never_reorders",
    "UpstreamLatencyBiasDown": "timing::jitter_is_whole_milliseconds_within_its_bounds_and_never_reorders",
    "DownstreamLatencyEven": "latency::each_direction_alone_and_both_together",
    "DownstreamLatencyBiasUp": "latency::jitter_spreads_the_delay_and_is_the_same_for_a_seed",
    "DownstreamLatencyBiasDown": "latency::jitter_spreads_the_delay_and_is_the_same_for_a_seed",
    "FullstreamLatencyEven": "latency::each_direction_alone_and_both_together",
    "FullstreamLatencyBiasUp": "latency::each_direction_alone_and_both_together",
    "FullstreamLatencyBiasDown": "latency::each_direction_alone_and_both_together",
    "ZeroLatency": "latency::zero_delays_nothing_and_connecting_is_never_delayed",
    "LatencyToxicCloseRace": "chain::adding_and_removing_latency_a_thousand_times_beside_connections",
    "TwoLatencyToxics": "latency::two_add_up_without_drift",
    "LatencyToxicBandwidth": "latency::it_does_not_limit_the_rate",
    "TestBandwidthToxic": "timing::bandwidth_sends_slices_of_100_ms",
    "timeout: DoesNotCauseHang": "closing_toxics::a_timeout_behind_another_toxic_never_hangs_its_removal",
    "timeout: ClosesConnectionOnRemove": (
        "closing_toxics::timeout_zero_is_silence_until_it_is_removed_which_closes"
    ),
    "reset_peer: at once": "closing_toxics::reset_peer_resets_both_sides",
    "reset_peer: after a time": "closing_toxics::reset_peer_waits_from_the_first_data_and_leaves_the_idle_alone",
    "reset_peer: after a time, the other stream": "timing::reset_peer_waits_once_from_the_first_data",
    "PersistentConnections": "chain::nothing_is_lost_or_reordered_while_toxics_come_and_go",
    "ToxicAddRemove": "chain::adding_and_removing_latency_a_thousand_times_beside_connections",
    "ProxyLatency": "../benchmarks/proxy_throughput::added_latency",
    "limit_data: exactly": "closing_toxics::limit_data_passes_exactly_so_many_bytes",
    "limit_data: nothing": "closing_toxics::limit_data_of_nothing_closes_at_the_first_data_only",
    "limit_data: lowered": "timing::a_limit_lowered_below_what_has_passed_lets_nothing_more_through",
    "limit_data: interrupted and restarted": "closing_toxics::limit_data_counts_on_through_updates_and_by_connection",
    "slicer: pieces": "slicer::data_arrives_in_pieces_unchanged",
    "slicer: no variation": "slicer::sizes_add_up_and_none_is_empty",
    # link_test.go, metrics_test.go, stream/direction_test.go, scripts/test-e2e
    "NoDataDropped": "chain::nothing_is_lost_or_reordered_while_toxics_come_and_go",
    "Toxicity": "chain::toxicity_is_drawn_for_each_connection_from_the_seed",
    "StateCreated": "closing_toxics::limit_data_counts_on_through_updates_and_by_connection",
    "RemoveToxicWithBrokenConnection": "chain::removing_a_toxic_whose_connection_is_broken",
    "ProxyMetricsReceivedSentBytes": "metrics::bytes_are_counted_while_they_pass_by_direction",
    "stream: direction": "toxics::the_stream_is_read_in_any_case_and_kept_as_sent",
    "scripts/test-e2e": "cli_requests::toxics_as_the_command_line_client_asks",
}
