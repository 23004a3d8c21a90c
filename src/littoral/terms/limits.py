"""Every bound of the system, with its unit in its name and its reason beside it.

A queue, cache, in-flight set or body without a bound here is a defect (invariant I4). Bounds
that an operator may want to move are settings (node/settings.py), whose defaults stand here.
"""

from typing import Final

HEAD_BYTES_MAX: Final = 64 * 1024
"""Request line and headers. nginx allows 4 x 8 KiB, Node 16 KiB; agents send long cookies."""

HEADERS_MAX: Final = 100
"""Header fields in one request, as in nginx and Go's practice of small hundreds."""

HEADS_KNOWN_MAX: Final = 256
"""Different heads whose meaning is remembered: each kind of client with a key sends one."""

BODY_BYTES_MAX: Final = 32 * 1024 * 1024
"""One request body: an embeddings batch of 2,048 long texts is about 16 MiB."""

BODIES_BYTES_MAX: Final = 256 * 1024 * 1024
"""All request bodies together, from their first byte to the end of their answer."""

CHUNK_LINE_BYTES_MAX: Final = 1024
"""Size line, with extensions, or one trailer of a chunked request body."""

CHUNKS_FREE: Final = 1024
"""Chunks of one request body whose size does not matter."""

CHUNK_BYTES_MEAN_MIN: Final = 64
"""Mean size of the chunks beyond those: each costs the same work however little it carries."""

ACCEPTS_WAITING_MAX: Final = 1024
"""Connections that the kernel has made and the PoP has not yet taken."""

RESOLVE_WAIT_S: Final = 5.0
"""Looking up the name of the address to listen on."""

LINGER_WAIT_S: Final = 2.0
"""How long a refused client is read on and ignored, so that it can read why it was refused."""

CONNECTIONS_MAX: Final = 10_000
"""Open client connections; beyond it a new one is answered 503 and closed."""

HEAD_WAIT_S: Final = 10.0
"""Time from the first byte of a request to the end of its head."""

BODY_WAIT_S: Final = 60.0
"""Time from the end of the head to the end of the body."""

IDLE_WAIT_S: Final = 75.0
"""A kept-alive connection without a request is closed after this long."""

WRITE_WAIT_S: Final = 60.0
"""A client that takes no byte for this long while an answer waits for it is dropped."""

PIPELINE_BYTES_MAX: Final = 64 * 1024
"""Bytes kept of a next request while the present one is answered."""

JSON_DEPTH_MAX: Final = 64
"""Nesting of a request's JSON; tools and schemas seen in the field stay under 20."""

JSON_VALUES_MAX: Final = 1_100_000
"""Values in one request's JSON: a million tokens in 2,048 lists, and room for the rest."""

JSON_CONTAINERS_MAX: Final = 65_536
"""Objects and arrays in one request's JSON: each costs as much time as ten numbers."""

JSON_NAMES_MAX: Final = 262_144
"""Names of members in one request's JSON: a bias for each token of a large vocabulary."""

JSON_EXPONENTS_MAX: Final = 16_384
"""Numbers with an exponent in one request's JSON: one such as `1e308` takes 8 us to read."""

JSON_DIGITS_MAX: Final = 100
"""Digits in a row in one number of a request's JSON: the time to read it grows as their square."""

QUEUE_MAX: Final = 64
"""Requests that may wait for one model; the next is answered 503 with Retry-After."""

SLOTS: Final = 8
"""Sequences that one local model decodes at a time: 8 gave 2.2x the tokens/s of 1."""

KV_TOKENS_MAX: Final = 16_384
"""Tokens of key-value cache that the slots of one local model share."""

LOAD_WAIT_S: Final = 60.0
"""How long a request waits for its model to load before it is told the progress."""

KEEP_ALIVE_S: Final = 900.0
"""A model without requests is unloaded after this long, unless it is pinned."""

EXPLANATION_CHARS_MAX: Final = 2000
"""Of a header that explains a choice: clients and proxies take heads of 8 KB and more."""

CATALOGUE_WATCH_S: Final = 1.0
"""How often a running PoP looks whether its catalogue was changed: one stat of a folder."""

DRAIN_S: Final = 3.0
"""Answers under way may go on this long after a stop is asked for; then they end honestly."""

WORKER_READY_S: Final = 120.0
"""A worker that is not ready by then is ended: large weights on a slow disk take this long."""

FIRST_BYTE_WAIT_S: Final = 600.0
"""Prefill of a full context on a slow CPU; an upstream that takes longer is given up."""

BETWEEN_BYTES_WAIT_S: Final = 120.0
"""Silence within an answer after which its engine is taken for dead."""

UPSTREAM_CONNECTIONS_MAX: Final = 2_048
"""Connections to one upstream; more requests wait for one, no longer than to connect."""

UPSTREAM_TARGETS_MAX: Final = 4_096
"""Upstreams of all models, other PoPs among them, since the start: each has 100 bytes of counts."""

SIGNATURES_KNOWN_MAX: Final = 64
"""Of receipts that were signed together: the last ones that held are not looked at again."""

FABRIC_HOPS_MAX: Final = 3
"""PoPs that one request may come through; more of them find no better place, and hide loops."""

FABRIC_SCOPES_KNOWN_MAX: Final = 1_024
"""Callers behind another PoP that a connection from it remembers."""

UPSTREAM_IDLE_MAX: Final = 256
"""Connections to one server that are kept open without a request."""

UPSTREAM_WAITING_MAX: Final = 1_024
"""Requests that may wait for a connection to one upstream; the next is refused."""

FLIGHT_BYTES_MAX: Final = 8 * 1024 * 1024
"""Of one answer, kept for those that join it or lag: a stream of some 40,000 tokens."""

ANSWER_BYTES_MAX: Final = 64 * 1024 * 1024
"""A whole JSON answer: embeddings of 2,048 texts at 1,024 dimensions are about 45 MB."""

PIECE_BYTES_MAX: Final = 1024 * 1024
"""Of an answer longer than this, read and sent at a time: what each client costs in memory."""

FILES_SENT_MAX: Final = 128
"""Answers with bytes of files under way at a time; the next is answered 429 with Retry-After."""

SHELF_PIECES_KNOWN_MAX: Final = 2 * 1024 * 1024
"""Pieces of 256 KiB of files that are known by digest, 32 bytes each: those of 512 GiB."""

GATHERED_BYTES_MAX: Final = 256 * 1024 * 1024
"""All whole answers of upstreams together that are not complete yet."""

RETRY_AFTER_MAX_S: Final = 86_400.0
"""The longest that a client is told to wait before it tries again, whatever an upstream said."""

ANSWER_WAIT_S: Final = 3_600.0
"""One whole answer of an upstream, from the request to its last byte."""

UPSTREAMS_MAX: Final = 64
"""Upstreams of one model: the choice among them costs half a microsecond for each."""

UPSTREAM_WEIGHT_MAX: Final = 1_000
"""The largest weight of an upstream; shares finer than a thousandth are not worth telling apart."""

FALLBACKS_MAX: Final = 8
"""Models that one model may fall back to."""

RELAY_ATTEMPTS_MAX: Final = 10
"""Attempts at a model's upstreams for one request; more only multiply the load of a bad hour."""

RELAY_WAIT_S_MAX: Final = 86_400.0
"""The longest of the waits that an operator may give a model's upstreams."""

UPSTREAM_IN_FLIGHT_MAX: Final = 4_096
"""Requests at one upstream, of all workers together; beyond it another is asked, or none."""

BREAKER_FAILURES: Final = 5
"""Failures in a row after which an upstream is left alone; one that refuses to connect, or breaks
off in an answer, counts twice."""

BREAKER_OPEN_S: Final = 1.0
"""How long it is left alone the first time: a server's restart; each time in a row doubles it."""

BREAKER_OPEN_S_MAX: Final = 60.0
"""The longest that an upstream which may be well again goes without one request to try it."""

BREAKER_TRIAL_S: Final = 30.0
"""A request that tries such an upstream and says nothing for so long lets another try it."""

UPSTREAM_ASIDE_S: Final = 5.0
"""How long an upstream that limits us is left alone when it does not say for how long."""

UPSTREAM_ASIDE_S_MAX: Final = 3_600.0
"""The longest `Retry-After` that is believed."""

UPSTREAM_STALE_S: Final = 10.0
"""What was measured of an upstream counts half after this long without news: slow once, or failing
once, is not slow or failing for ever."""

RETRY_PAUSE_S: Final = 0.1
"""Pause before an upstream is asked a second time; each further one doubles it. Another upstream is
asked at once."""

RETRY_PAUSE_S_MAX: Final = 5.0
"""The longest such pause."""

RETRY_AFTER_PATIENCE_S: Final = 2.0
"""A request waits out a `Retry-After` up to this long; a longer one it goes elsewhere for, or fails
with."""

CHOICES_MAX: Final = 8
"""`n`, and prompts in one completions request: each takes a slot."""

EMBED_TEXTS_MAX: Final = 2_048
"""Texts in one embeddings request, as OpenAI allows."""

STOP_TEXTS_MAX: Final = 16
"""Stop strings in one request; OpenAI takes 4, agents send up to 8."""

TOOLS_MAX: Final = 128
"""Tools in one request, as OpenAI allows."""

TOOL_TEXT_CHARS_MAX: Final = 64 * 1024
"""Text held back while it may still turn out to be tool calls; longer text is text."""

RECEIPTS_MAX: Final = 1_000_000
"""Receipts kept for look-up; the oldest are dropped first (2 KB each on disk)."""

RECEIPT_BYTES_MAX: Final = 16 * 1024
"""One receipt with its signature and opening; today's are about 2 KB."""

RECEIPT_BATCH_MAX: Final = 256
"""Receipts signed and committed together: the loop stands still for some 4 ms at most."""

RECEIPT_BATCH_S: Final = 0.002
"""Between two batches of receipts: a signature and a commit cost as much as five receipts."""

RECEIPT_WAIT_S: Final = 5.0
"""How long receipts wait while another process holds the database, and streams for theirs."""

RECEIPTS_WAITING_MAX: Final = 16_384
"""Receipts that wait so: some 40 MB, and three seconds of the most that one core answers."""

RECEIPT_TRY_S: Final = 1.0
"""How often it is looked whether receipts can be kept again: one write of 16 KiB."""

READY_SHOWN_S: Final = 0.5
"""How old what `/readyz` says of other workers may be: all their meters are read for it."""

RECEIPT_TEXT_PARTS_MAX: Final = 256
"""Texts in one answer (choices, blocks, output parts) that its receipt can cover."""

RECEIPT_UNREAD_BYTES_MAX: Final = 8 * 1024 * 1024
"""Bytes of a response kept until its text can be read; a longer body has no text digest."""

RECEIPT_PIECES_BYTES: Final = 4 * 1024
"""Bytes of a stream that are hashed and read together: some 20 events, at half of their cost."""

RECEIPT_TEXTS_KNOWN_BYTES: Final = 8 * 1024 * 1024
"""Answers given again whose texts are remembered: some hundreds, whose bytes the cache has too."""

SAVED_ANSWER_BYTES_MAX: Final = 256 * 1024 * 1024
"""A saved answer or request that `verify` reads: the largest bodies, in base64, and room."""

USAGE_DAYS_MAX: Final = 400
"""Days of usage kept per key: a year and a month, for whoever bills by it."""

LIMITS_SHOWN_S: Final = 0.01
"""How old what an answer's head says of its key's limits may be. What is enforced is exact."""

KEYS_MAX: Final = 10_000
"""API keys on one PoP."""

WORKERS_MAX: Final = 32
"""Processes that serve one PoP's address and share its limits; one for each core is enough."""

CONFIG_BYTES_MAX: Final = 64 * 1024
"""A littoral.toml: one with every setting and its explanation is 4 KiB."""

METERS_BYTES_MAX: Final = 1024 * 1024
"""One worker's metrics: room for some 500 models; what has no room is counted as `other`."""

SERIES_MAX: Final = 8_192
"""Label sets whose place a worker remembers; the place of any other is looked up each time."""

NONCE_CHARS_MAX: Final = 128
"""A client's nonce, any visible ASCII."""

STDERR_LINES_MAX: Final = 200
"""Last lines of a worker's log kept to explain its death."""

COMPLETION_TOKENS: Final = 1_024
"""Tokens generated when neither the request nor the model's entry says how many."""

CACHE_BYTES_MAX: Final = 1024 * 1024 * 1024
"""Answers kept on disk: about 400,000 of 2 KB, which a home's disk has room for."""

CACHE_BYTES_MIN: Final = 8 * 1024 * 1024
"""The smallest share of the disk that is worth an answer cache: an eighth is the largest answer."""

CACHE_MEMORY_BYTES: Final = 16 * 1024 * 1024
"""Answers that a process keeps at hand: its front of the disk."""

CACHE_TTL_S: Final = 86_400
"""How long an answer is given again: a day, after which what it was built on may have changed."""

CACHE_STALE_S_MAX: Final = 3_600
"""How long an answer is kept after that, for whoever takes a stale one (`max-stale`)."""

ANSWER_STORED_BYTES_MAX: Final = 4 * 1024 * 1024
"""One kept answer; a larger one is not kept, since it would push out a thousand."""

CACHE_BATCH_BYTES_MAX: Final = 16 * 1024 * 1024
"""An answer whose vectors are kept one by one; taking it apart takes 1 ms a megabyte."""

CACHE_LOOKUP_TEXTS: Final = 64
"""Texts of a batch that are looked up at a time: 1 ms, if all are on disk."""

CACHE_QUEUE_ENTRIES_MAX: Final = 8_192
"""Entries on their way to the disk: four of the largest embedding batches; more are not kept."""

CACHE_QUEUE_BYTES_MAX: Final = 32 * 1024 * 1024
"""Bytes on their way to the disk; over it an answer is not kept, and counted."""

CACHE_PAUSE_S: Final = 30.0
"""How long the cache leaves its disk alone after it failed: no disk is full for a second only."""

CACHE_HITS_UNWRITTEN_MAX: Final = 512
"""Entries whose hits are counted in memory before the counts go to the disk."""

CACHE_COUNTS_S: Final = 2.0
"""Until hits and misses show in `littoral cache stats`, where nobody asks for more meanwhile."""

CACHE_COUNTS_WAITING_MAX: Final = 16
"""Groups of such counts on their way to the disk; then the oldest is forgotten."""

CACHE_WAL_BYTES_MAX: Final = 16 * 1024 * 1024
"""Size to which the cache's write-ahead log is cut back, beside its own bound."""

CACHE_TAGS_MAX: Final = 16
"""Tags of one answer, by which it can be purged."""

CACHE_TAG_CHARS_MAX: Final = 64
"""One tag, any visible ASCII but blanks and commas."""

CACHE_CONTROL_CHARS_MAX: Final = 1_024
"""A `Cache-Control` field that is read; a longer one is taken for `no-store`."""

CACHE_CONTROL_MEMO_MAX: Final = 256
"""Different `Cache-Control` fields whose meaning is remembered."""

REUSE_OBSERVATIONS_MAX: Final = 2_000
"""Comparisons that one reusable answer's record counts; then all are halved, and the old fades."""

REUSE_PARTITION_ENTRIES_MAX: Final = 256
"""Reusable questions with one and the same setting: all are scanned exactly, in under 1 ms."""

REUSE_ENTRIES_MAX: Final = 50_000
"""Reusable questions on one PoP: about 3 KB each on disk, 150 MB in all."""

REUSE_QUESTION_CHARS_MAX: Final = 800
"""A question that may be compared by meaning; an embedding of a longer text blurs its details."""

REUSE_ANSWER_CHARS_MAX: Final = 2_000
"""An answer that may be compared by meaning; a longer one is the same only if it is equal."""

REUSE_WAIT_S: Final = 2
"""How long a request waits for the embedding of its question; then it is asked without reuse."""

REUSE_CANDIDATES: Final = 8
"""Nearest questions that are looked at: the nearest may be an opposite that words tell apart."""

CACHE_QUESTIONS_KNOWN_MAX: Final = 1_024
"""Requests whose key is remembered by their bytes."""

CACHE_QUESTION_BYTES_MAX: Final = 4_096
"""A request that is remembered so; a longer one is read again, which its length is worth."""

TICKET_LIFE_S: Final = 3_600
"""A ticket by which a PoP joins, unless another life is asked for."""

TICKET_LIFE_S_MAX: Final = 30 * 86_400
"""One that lives longer is a key that somebody forgets."""

TICKET_USES_MAX: Final = 1_000
"""PoPs that may join by one ticket."""

SLOW_LINK_BYTES_MAX: Final = 256 * 1024
"""On its way in one direction of a slow link: some milliseconds at a gigabit, as a router holds."""

PREFIX_SKETCH_BYTES_MAX: Final = 1_024
"""What a PoP tells of the prompt beginnings that one engine keeps: 256 of them."""

PREFIX_BYTES_MAX: Final = 1024 * 1024
"""Beginning of a prompt that is compared with what engines keep, some 250,000 tokens: 1 ms."""

ROUTE_VIEWS_MAX: Final = 64
"""Different needs of requests for one model, for which its candidates are sorted out beforehand."""

ROUTE_ORDERS_MAX: Final = 64
"""Sizes of requests for which many candidates are put in order beforehand."""

MEMBERS_MAX: Final = 1_024
"""PoPs that one PoP knows to be admitted, removed or revoked, 3 KB each."""

OWNERS_MAX: Final = 64
"""Foreign owners; each is a root certificate that connections between PoPs are checked by."""

ISSUERS_MAX: Final = 3
"""PoPs of one owner that may issue certificates: one may be lost and one be away, and no more keys
lie about than that."""

TICKETS_MAX: Final = 1_000
"""Tickets that are good at a time; those that have run out make room."""

TICKET_ADDRESSES_MAX: Final = 4
"""Addresses in one ticket: a machine has a few, and its text is copied by hand at times."""

TICKET_CHARS_MAX: Final = 1_024
"""The text of a ticket; one with four long names has some 700."""

JOIN_NONCE_S: Final = 60
"""How old the nonce of a PoP that joins may be: its request follows within milliseconds."""

LEAF_S: Final = 3_600
"""How long the certificate of a PoP is good: who is revoked is out by then, whatever happens."""

ISSUER_DAYS: Final = 30
"""How long an issuer's certificate is good: the owner's root key may be away for so long."""

ROOT_DAYS: Final = 3_650
"""How long an owner's root is good. A new one is a new owner, so it outlives the machines."""

CLOCK_SKEW_S: Final = 300
"""How far two PoPs' clocks may differ: certificates are good so long before they are made."""

CERTIFICATE_BYTES_MAX: Final = 4_096
"""One certificate or request for one, in DER; ours have some 600 bytes."""

CHAIN_CERTIFICATES_MAX: Final = 4
"""Certificates that a PoP shows: its own, the issuer's and the root, and one to spare."""

NOTE_CHARS_MAX: Final = 200
"""What an operator notes about a PoP or an owner."""

POLICY_NAMES_MAX: Final = 256
"""Models, or zones, that one owner's policy names."""

RECORD_BYTES_MAX: Final = 64 * 1024
"""One signed record of a PoP: a state of 100 models with their sketches has about 40 KB."""

STATE_ITEMS_MAX: Final = 256
"""Models, links or artifacts in one PoP's state; sorted by use, the rest matters to nobody."""

DELIVERIES_SAID_MAX: Final = 64
"""Artifacts in one PoP's state, some 45 bytes each: those that were used last."""

STORE_BYTES_MAX: Final = 2**62
"""Disk for artifacts where nobody has said: whatever it has free, which is looked at each time."""

CREDENTIALS_MAX: Final = 64
"""Servers that a PoP has a credential for; one takes some 100 bytes, and all are in one file."""

LISTING_KEPT_S: Final = 30.0
"""What an origin lists for a branch is asked for again after this long."""

LISTINGS_KEPT_MAX: Final = 64
"""Listings of repositories that are kept that long; one of 10,000 files takes 2 MB."""

SCRUB_PAUSE_S: Final = 30.0
"""Between two looks of 64 MiB at what is in the store: 180 GB in a day, at 0.2 % of a core."""

PULLS_MAX: Final = 64
"""Pulls under way on one PoP at a time."""

PULLS_KEPT: Final = 64
"""Pulls that ended, of which it is still told what came of them."""

GROUPS_KEPT_S: Final = 600.0
"""How long a pull that has ended stays known by the name of its draft, to those still at it."""

CLAIMS_BYTES_MAX: Final = 1024 * 1024
"""All claims on one artifact, as another PoP gives them."""

WISH_LOOK_S: Final = 2.0
"""How often a PoP looks whether a wish is to be fulfilled, and how long that must have been so."""

WISH_FILE_BYTES_MAX: Final = 8 * 1024 * 1024
"""All wishes of a PoP, on its disk."""

PREFETCH_BYTES_PER_HOUR_MAX: Final = 50e9
"""What one PoP fetches ahead of demand in an hour: a tenth of a link of 1 Gbit/s."""

WISH_SITES_MAX: Final = 256
"""Sites that one wish names."""

WISH_REPLICAS_MAX: Final = 10_000
"""Copies that one wish asks for."""

WISHES_MAX: Final = 256
"""Wishes that a PoP keeps; each is looked at whenever the fleet changes."""

DEMAND_HALF_LIFE_S: Final = 1800.0
"""A request counts half for demand after this: long enough to fetch a model for, short enough to
follow a working day."""

DEMAND_MODELS_MAX: Final = 256
"""Models whose demand a PoP counts."""

DEMAND_SAID_MAX: Final = 16
"""Of them, the most wanted, that it says to the others."""

STATE_NUMBER_MAX: Final = 1e15
"""Any rate, time or count that a PoP says of itself; more is a mistake or a lie."""

CARD_CERTIFICATES_MAX: Final = 4
"""Certificates in the card of a PoP: its own, its issuer's, and room for a change of roots."""

CARD_CERTIFICATE_BYTES_MAX: Final = 4 * 1024
"""One of them in DER; those of elliptic curves have some 600 bytes."""

FLEET_POPS_MAX: Final = 256
"""PoPs in one view: links grow as their square, and beyond some 50 there are routers."""

FLEET_STRANGERS_MAX: Final = 64
"""PoPs whose card has not come, has expired or is not admitted, of which something is kept."""

FLEET_SILENT_S: Final = 20.0
"""A PoP that has said nothing for so long is taken for gone, whatever liveliness says."""

FLEET_CHECK_S: Final = 15.0
"""How often certificates are looked at again: 0.2 ms for each PoP."""

REJECTIONS_KNOWN_MAX: Final = 256
"""Pairs of key and reason whose rejected records are counted before they are told of again."""

STATE_SAY_S: Final = 5.0
"""How often a PoP says its state though nothing has changed: a fourth of FLEET_SILENT_S."""

FABRIC_LEASE_S: Final = 2.7
"""A link that is silent for so long is down; keep-alives are sent each third of it."""

STILL_S: Final = 1.0
"""An answer from a PoP that is said to be gone goes on if some of it came within this time: less
than half a lease, in which a PoP that is really gone has sent nothing."""

FABRIC_INBOX_BYTES_MAX: Final = 16 * 1024 * 1024
"""News that wait for the loop, the latest of each key; of more the oldest is dropped."""

FABRIC_SAID_MAX: Final = 2_048
"""Keys that one PoP says something on: its own two, and those of whom it admitted."""

FABRIC_OPEN_WAIT_S: Final = 10.0
"""How long opening, reopening or closing the fabric may take."""

FABRIC_BRIDGE_WAIT_S: Final = 2.0
"""How long a fabric that is opened anew waits for the links that the old one had."""

FABRIC_FEW_S: Final = 30.0
"""So long less than half of those that were known are linked to, before all of them are dialled."""

FABRIC_OVERHEAR_S: Final = 1.0
"""How often a PoP that can't be dialled sees to hearing others that can't."""

FABRIC_TOKENS_MAX: Final = 8
"""Sessions of one PoP that are seen, times ours: two of each while both are opened anew."""

FABRIC_ASK_WAIT_S: Final = 2.0
"""How long a PoP that is there may take to answer what it says."""

FABRIC_ASK_PAUSE_S: Final = 0.25
"""Until a PoP is asked again what it says; each time in a row doubles it."""

FABRIC_ASK_PAUSE_S_MAX: Final = 60.0
"""The longest such pause: what was missed has come by then, and asking costs next to nothing."""

FABRIC_ASKS_MAX: Final = 1_024
"""PoPs that are to be asked at a time what they say."""

SAY_S: Final = 0.25
"""Between two records of a PoP whose queues or rates have moved."""

GUESTS_MAX: Final = 1_000
"""Models of other PoPs that are offered here; more would hide in each other."""

GUEST_TARGETS_MAX: Final = 64
"""PoPs that are asked for one model; a request tries three at most."""

GUEST_CONNECT_S: Final = 3.0
"""For a connection to another PoP: a far one needs three round trips, a dead one none."""

TABLE_S: Final = 0.1
"""Between two readings of the whole fleet into one model's candidates: 1,000 PoPs take 3 ms."""

MISSING_ASK_S: Final = 3.0
"""From when a PoP is gone until it is asked whether it is there all the same: a link may come back
by itself. Then twice as long each time, up to MISSING_PAUSE_S_MAX."""

MISSING_PAUSE_S_MAX: Final = 300.0

CALL_WAIT_S: Final = 5.0
"""For the answer to a short question to another PoP."""

CALL_BYTES_MAX: Final = 4 * 1024 * 1024
"""Of such an answer: a roll of some thousand PoPs."""

CALLED_MAX: Final = 256
"""PoPs to which connections for short questions are kept."""

STRANGERS_TOLD_S: Final = 1.0
"""Between two words in the log on refused connections: who knocks often is counted."""

LINK_S: Final = 10.0
"""Between two measurements of the round trip to a PoP, as long as it moves."""

LINK_STEADY_S: Final = 60.0
"""The same for one that stays as it is, doubling up to this: less than IDLE_WAIT_S."""

LINKS_EACH: Final = 64
"""PoPs that are measured in one turn; so `LINKS_AT_ONCE` of them at a time."""

LINKS_SAID_MAX: Final = 8
"""Links that a PoP says in its state: the shortest, which tell where it is."""

LINKS_AT_ONCE: Final = 8
"""More would wait for each other on a slow loop, and seem far."""

HOLD_RELAYS: Final = 2
"""PoPs to which one that can't be dialled holds connections, so that one of them may go."""

HOLD_IDLE: Final = 2
"""Connections to each of them that wait for a request; when none does, as many more are opened as
there are."""

HELD_MAX: Final = 64
"""Connections that one PoP holds to another."""

HELD_POPS_MAX: Final = 256
"""PoPs that hold connections to this one; the next goes to another relay."""

HOLD_SETTLE_S: Final = 0.005
"""After a held connection was used, until it is looked whether more are wanted: a ping is over."""

HOLD_LOOK_S: Final = 1.0
"""Between two looks at whether a better PoP is there to hold connections to."""

HOLD_PAUSE_S: Final = 0.25
"""Until a PoP that refused is asked again to hold a connection; each time in a row doubles it."""

HOLD_PAUSE_S_MAX: Final = 30.0
"""The longest such pause."""

HOLD_AGE_S: Final = 600.0
"""When a held connection is replaced: certificates live for an hour, and are renewed at half."""

HELD_PING_S: Final = 10.0
"""How often held connections are asked for a sign of life: routers forget silent ones, some within
30 s, and whoever is asked closes one that is silent for IDLE_WAIT_S."""

KNOWN_POPS_MAX: Final = 64
"""Other PoPs whose addresses are kept, to find the fabric again after a stop."""

RENEW_RETRY_S: Final = 20.0
"""Between two attempts to have a certificate renewed; an hour's has ninety before it runs out."""

REQUIREMENT_CHARS_MAX: Final = 1_024
"""What a request must have, as its header field says it."""

REASON_CHARS_MAX: Final = 200
"""Why a PoP was asked, as receipts say it."""

REASON_TIMES_MAX: Final = 1_024
"""Times in such reasons of which the digits are remembered: they are mostly the same few."""

STATE_LOOK_S: Final = 0.05
"""Between two looks at whether something is to be said, when much happens."""

DELIVERY_CHUNK_BYTES_MAX: Final = 4 * 1024 * 1024
"""One chunk: the largest piece that is passed on only when it is verified as a whole."""

DELIVERY_CHUNKS_MAX: Final = 4 * 1024 * 1024
"""Chunks of one artifact: 688 GB in pieces of 1 MiB, with room for small tensors."""

DELIVERY_CONNECTIONS_MAX: Final = 512
"""Connections of other movers, and requests to them, each: two of some 250 PoPs."""

DELIVERY_IDLE_PER_PEER_MAX: Final = 2
"""Connections to one other mover that are kept open without a request."""

DELIVERY_WANTED_BYTES_MAX: Final = 1024 * 1024
"""One line that asks for chunks: some 50,000 runs."""

DELIVERY_NEWS_LINE_BYTES_MAX: Final = 2 * 1024 * 1024
"""One piece of news: which of 4,194,304 chunks somebody has, in base 64, and room for a deal."""

DELIVERY_NEWS_BYTES_MAX: Final = 8 * 1024 * 1024
"""News that a peer was told and has not taken yet; one that lags further is given up."""

DELIVERY_TICK_S: Final = 0.25
"""Between two looks at the deadlines of a mover's connections."""

DELIVERY_ALIVE_S: Final = 0.5
"""A stream with nothing to send says after this long that it lives."""

DELIVERY_STALL_S: Final = 1.75
"""A peer that says nothing for so long is given up: with one look at deadlines, within 2 s."""

DELIVERY_FRAME_WAIT_S: Final = 30.0
"""One chunk, from its first byte to its last: 4 MiB at 140 kB/s."""

DELIVERY_HEAD_WAIT_S: Final = 5.0
"""A mover's TLS handshake and each of its requests, to their last byte."""

DELIVERY_STUCK_S: Final = 10.0
"""A peer that takes no byte for this long, though some wait for it, is given up."""

DELIVERY_UNSENT_BYTES: Final = 256 * 1024
"""Of a stream, that the kernel holds and has not sent yet: more only delays what is more urgent."""

DELIVERY_WINDOW_S: Final = 0.1
"""Between two looks at what streams get through; each sets their paces anew."""

DELIVERY_UPLINK_START: Final = 12_500_000
"""Bytes/s that an uplink is taken for until it has been measured: 100 Mbit/s."""

DELIVERY_PACE_MIN: Final = 32 * 1024
"""Bytes/s of the slowest stream: below it a chunk takes longer than it may."""

ENCODED_KEPT_BYTES: Final = 32 * 1024 * 1024
"""Chunks as they were encoded for one peer, for the others of a broadcast: a second at 32 MB/s."""

DELIVERY_YIELD_SHARE: Final = 0.5
"""Of the uplink, that bulk takes while requests of people are being answered."""
ORIGIN_CONNECT_WAIT_S: Final = 10.0
"""For a connection to an origin, and for the head of an answer that lists much."""

ORIGIN_HEAD_WAIT_S: Final = 5.0
"""For the head of an answer with bytes: a storage that has to look for them takes seconds."""

ORIGIN_STALL_S: Final = 2.0
"""Without one byte on the way; then the origin is said to have stalled."""

ORIGIN_RETRY_AFTER_S_MAX: Final = 3_600.0
"""The longest `Retry-After` of an origin that is believed."""

ORIGIN_PIECE_BYTES: Final = 256 * 1024
"""The largest piece that an origin's bytes are handed on in."""

ORIGIN_PIECE_BYTES_MIN: Final = 64 * 1024
"""What comes in smaller ones is gathered up to this much, so that each costs its call once."""

ORIGIN_IDLE_MAX: Final = 8
"""Connections to one server of an origin that are kept for the next read: one for each thread."""

ORIGIN_REDIRECTS_MAX: Final = 5
"""Redirects in one request to an origin."""

ORIGIN_REDIRECTS_KNOWN_MAX: Final = 1_024
"""Files of which it is remembered where they were redirected to, until that is refused."""

ORIGIN_LISTING_BYTES_MAX: Final = 64 * 1024 * 1024
"""What one reference lists; a file takes some 300 bytes."""

ORIGIN_MANIFEST_BYTES_MAX: Final = 4 * 1024 * 1024
"""One manifest of a registry, as its specification has it."""

ORIGIN_TOKEN_CHARS_MAX: Final = 16 * 1024
"""One token that a registry's issuer gives; a head with it must still pass."""

ORIGIN_FILES_MAX: Final = 20_000
"""Files of one artifact: the largest repositories of weights have some thousands."""

ORIGIN_FILE_BYTES_MAX: Final = 2**40 - 1
"""One file of an artifact: 5 bytes say where a chunk begins."""

ORIGIN_ARTIFACT_BYTES_MAX: Final = 2**42
"""All files of one artifact together, 4 TiB: ten times the largest model that is published."""

ORIGIN_PATH_CHARS_MAX: Final = 1_024
"""The name of one file within its artifact; one part of it has at most 255 bytes."""

ORIGIN_REFERENCE_CHARS_MAX: Final = 4_096
"""What a person writes to name an artifact."""

ORIGIN_WHEELS_KEPT: Final = 4
"""Parts of a packaged model that are kept unpacked while it is read, some 50 MB each."""

PIPELINE_DOCUMENT_BYTES_MAX: Final = 256 * 1024
"""A pipeline as its author writes it, and as its document."""

PIPELINE_STEPS_MAX: Final = 64
"""Steps of one pipeline."""

CHUNKS_MAX: Final = 4_000_000
"""Of one artifact: a terabyte in pieces of 256 KiB."""

NEWS_BYTES_MAX: Final = 1_048_576
"""One line of news between PoPs that pull; a set of CHUNKS_MAX takes two thirds of it."""

NEWS_RUNS_MAX: Final = 4_096
"""Runs of chunks in one line of news; what is more waits for the next."""

FETCHES_EACH_MAX: Final = 2
"""What one source is asked for at once and one artifact: of what it brings in, and of what it has,
so many each."""

VECTOR_DIMENSIONS_MAX: Final = 4_096
"""Of one vector: the longest embeddings in use have 3,072."""

MULTI_VECTORS_MAX: Final = 2_048
"""Vectors under one name of one record: one for each token of a long passage."""

SPARSE_INDICES_MAX: Final = 8_192
"""Numbers of one sparse vector that are not zero: learned ones have some hundreds."""

COLLECTION_VECTORS_MAX: Final = 16
"""Vectors, dense and sparse, of one collection."""

COLLECTION_FIELDS_MAX: Final = 128
"""Fields of the metadata that one collection declares, and so indexes."""

COLLECTIONS_MAX: Final = 1_000
"""Collections of one PoP: each that is in use holds a file open and an index in memory."""

COLLECTIONS_AWAKE_MAX: Final = 100
"""Of them that hold connections and indexes; one that was not opened for longest lets go of its."""

RECORD_ID_BYTES_MAX: Final = 512
"""The id of one record, as at Pinecone."""

RECORD_TEXT_BYTES_MAX: Final = 256 * 1024
"""Text of one record: a passage has some 1,000 bytes, and what is longer is embedded in part."""

RECORD_METADATA_BYTES_MAX: Final = 256 * 1024
"""Metadata of one record."""

RECORD_LABELS_MAX: Final = 64
"""Labels of one record."""

RECORD_LABEL_CHARS_MAX: Final = 64
"""One of them: as long as a key's."""

RECORD_DOCUMENT_CHARS_MAX: Final = 4_096
"""The name of a record's document: as long as the path of a file."""

FILTER_DEPTH_MAX: Final = 16
"""Filters within filters."""

FILTER_VALUES_MAX: Final = 10_000
"""Values, ids or parts in one place of a filter."""

FILTER_PARTS_MAX: Final = 4_096
"""Filters within one filter, all levels together: a record that no index tells of is asked each."""

FILTER_FIELD_CHARS_MAX: Final = 512
"""The path of a field in a filter: each way to read its dots is tried with each record."""

FUSED_DEPTH_MAX: Final = 3
"""Fusions within fusions."""

MEMORY_THREADS: Final = 4
"""Threads on which collections are read and written: two for each core of a small machine."""

MEMORY_AT_ONCE_BYTES: Final = 8 * 1024 * 1024
"""Codes and vectors that a search looks at, at most, to be made without a thread: about 0.3 ms, in
which nothing else is answered. To give it to a thread costs half of that."""

MEMORY_BATCH_TEXTS: Final = 64
"""Texts embedded in one request: the engine batches what it gets, and others have turns."""

WRITES_MAX: Final = 10_000
"""Changes in one request; records are bounded by its body."""

FETCHED_IDS_MAX: Final = 10_000
"""Records asked for by their ids in one request."""
INDEXED_TERM_BYTES_MAX: Final = 256
"""A value of a declared field that is longer is compared in the record, and not in the index."""

TOMBSTONES_MIN: Final = 10_000
"""Forgotten records that a collection remembers, or as many as it has if that is more: a replica
that asks for changes from before the oldest of them starts anew."""

COLLECTION_READERS_MAX: Final = 8
"""Connections of one process to one collection for reading: more threads than that wait."""

COLLECTION_WAIT_S: Final = 30.0
"""What a write waits for another process's to be done: one batch of an import takes a second."""

TRUTH_LOG_BYTES_MAX: Final = 16 * 1024 * 1024
"""To which a collection's write-ahead log is cut back: a batch of an import writes a third."""

MEMORY_FILTERS_MAX: Final = 256
"""Filters of one collection whose rows are kept: each that is asked again."""

MEMORY_FILTERS_BYTES: Final = 32 * 1024 * 1024
"""What they take in memory: four million rows' numbers."""

MEMORY_IDS_MAX: Final = 16_384
"""Ids of one collection that were found lately and are kept in memory: 7 MB."""

WORD_COUNTS_MAX: Final = 16_384
"""Words of one collection of which it is kept whether most texts have them."""

MEMORY_POSTINGS_BYTES: Final = 64 * 1024 * 1024
"""What is kept in memory of the words of one collection that were asked for: for each half a
kilobyte, and five bytes for each text that has it. All of 100,000 short texts take 40 MB."""

QUESTION_WORDS_MAX: Final = 256
"""Different words of a question that are searched for; the first ones."""

OFFER_PLACES_MAX: Final = 64
"""Sites, or PoPs, that one collection is offered to by name."""

OFFERS_MAX: Final = 256
"""Collections that one PoP offers, and that one PoP follows."""

CHANGES_BYTES: Final = 4 * 1024 * 1024
"""About as much of a collection is sent at once to who follows it."""

CHANGES_BYTES_MAX: Final = 64 * 1024 * 1024
"""Most that is taken at once: one record may be larger than CHANGES_BYTES."""

CHANGES_WAIT_S: Final = 2.0
"""How long a home keeps a question for changes before it says that there are none: so long ago at
most a replica knew that it was up to date, while its home can be reached."""

CHANGES_ASK_S: Final = 30.0
"""For the answer to such a question, with what is sent."""

CHANGES_ASKED_MAX: Final = 64
"""Questions for changes to one home at once: collections that one PoP follows there."""

FOLLOW_AGAIN_S: Final = 1.0
"""Between tries to reach a home that can't be reached."""

SEGMENTS_KEPT_S: Final = 1_800.0
"""How long segments of a collection stay after they were last of use, for those who follow later:
what was deleted meanwhile is in them."""

SEGMENTS_FIND_S: Final = 15.0
"""For a replica to hear who has the segments that its home has named."""

SEGMENTS_TRIES: Final = 3
"""To fetch segments; a replica then takes all in parts, from its home alone."""

FORWARD_WAIT_S: Final = 5.0
"""For a write at a replica to be done at its home, and for it to be seen here afterwards."""

MEMORY_QUIET_S: Final = 5.0
"""Nothing was written to a collection for so long: what came since its index was built is worth
building it again sooner, since more is hardly to come."""

MEMORY_VIEWS_MAX: Final = 256
"""Filters of one vector field whose candidates' places are kept: each that is asked again."""

MEMORY_VIEWS_BYTES: Final = 32 * 1024 * 1024
"""Of all of them: places and codes of half a million candidates at 384 dimensions."""

DOCUMENT_FILE_BYTES_MAX: Final = 256 * 1024 * 1024
"""One file that is read whole for its text; files of records may have any size."""

DOCUMENT_TEXT_CHARS_MAX: Final = 8 * 1024 * 1024
"""Text of one document: a long novel has 3 million."""

DOCUMENT_UNPACKED_BYTES_MAX: Final = 256 * 1024 * 1024
"""What the parts of one DOCX file unpack to."""

DOCUMENT_PAGES_MAX: Final = 5_000
"""Pages of one PDF file."""

DOCUMENT_SILENT_S: Final = 60.0
"""How long reading a file may take without a further page or record; a page takes some 20 ms."""

DOCUMENT_MEMORY_BYTES_MAX: Final = 4 * 1024 * 1024 * 1024
"""Address space of the process that reads files: a malicious one makes that fail, and no other."""

PASSAGE_CHARS: Final = 800
"""One passage: some 200 tokens, of the 256 that small embedding models were made for."""

PASSAGE_CHARS_MAX: Final = 32_768
"""One passage, where somebody wants long ones."""

PASSAGE_TOKENS_MAX: Final = 256
"""One passage with its header, by the tokenizer of the model that embeds it."""

PASSAGES_MAX: Final = 10_000
"""Passages of one document: their ids must fit in one filter (`FILTER_VALUES_MAX`)."""

ROW_BYTES_MAX: Final = 4 * 1024 * 1024
"""One line of a JSONL file: a record, with its vectors written out."""

IMPORT_PASSAGES: Final = 256
"""Passages in one change of an import: some seconds of work, which a broken off one repeats."""

IMPORT_BYTES: Final = 4 * 1024 * 1024
"""Their texts and vectors, about."""

IMPORT_FILES_MAX: Final = 100_000
"""Files of one import."""

IMPORT_FAILURES_TOLD_MAX: Final = 100
"""Files of which it is said why they were not taken; of more it is said how many."""

IMPORT_BUSY_S: Final = 600.0
"""How long an import waits for a machine that is busy, or loads the model."""
UPLOADS_MAX: Final = 100_000
"""Files that clients have sent and that are kept: a row of some 200 bytes each."""

UPLOAD_NAME_CHARS_MAX: Final = 1_024
"""The name of a file that a client sends."""

MULTIPART_PARTS_MAX: Final = 32
"""Parts of one form: a file, its purpose, and how long it is kept."""

MULTIPART_HEAD_BYTES_MAX: Final = 8 * 1024
"""What stands before the bytes of one part: a name, and a type."""

MULTIPART_FIELD_BYTES_MAX: Final = 4 * 1024
"""A part of a form that is no file."""

STORE_ATTRIBUTES_MAX: Final = 16
"""Pairs of metadata of a vector store or of attributes of a file in it, as in OpenAI's API."""

STORE_BATCH_FILES_MAX: Final = 2_000
"""Files of one batch, as OpenAI's API has it."""

STORE_FILES_MAX: Final = 100_000
"""Files of one vector store."""

STORE_PASSAGES_SHOWN_MAX: Final = 10_000
"""Passages of one file that are read back: 10 MB of text."""

STORE_QUERIES_MAX: Final = 16
"""Questions of one search in a vector store: each is embedded and asked by itself."""

FILING_TRIES_MAX: Final = 8
"""How often a file is tried again that failed by no fault of its own, before that is said of it."""

FILING_PAUSE_S: Final = 1.0
"""Before the first of these; each time in a row doubles it."""

FILING_PAUSE_S_MAX: Final = 60.0
"""The longest such pause, whatever `Retry-After` says."""

CONTEXT_DOCUMENT_TOKENS: Final = 4_096
"""Of a document, told to a model with each of its passages: some 8,000 letters, cautiously counted.
A small model on two cores reads them in seconds, once for all passages."""

CONTEXT_PASSAGE_TOKENS: Final = 1_024
"""Of the passage itself, and as many of what stands around it: passages have some 400."""

CONTEXT_ANSWER_TOKENS: Final = 128
"""What a model may say of a passage: two sentences have 50 to 100. What goes on is not taken."""

CONTEXT_CHARS_MAX: Final = 500
"""Of them kept: more would crowd the passage out of its own vector."""

CONTEXT_LOOK_S: Final = 0.25
"""Between two looks at whether clients want the model that writes contexts."""

CONTEXT_TURN_PASSAGES: Final = 32
"""Passages of one collection before another has its turn: they share the reading of a document."""

CONTEXT_ANSWER_S: Final = 300.0
"""One answer: a model that takes longer for two sentences has no time for this work."""

STORES_SWEEP_S: Final = 60.0
"""Between two looks at what has expired: files live for an hour at least, stores for a day."""

MCP_PASSAGES_MAX: Final = 50
"""Passages that an agent may ask for at a time: more than models read with care."""

MCP_DOCUMENTS_MAX: Final = 100
"""Documents that an agent may add in one call, which is answered when all are kept."""

MCP_ANSWER_TOKENS: Final = 256
"""Of an answer to an agent: a paragraph or two, which small models give in some seconds."""

MCP_TEXT_CHARS_MAX: Final = 1024 * 1024
"""One of them: a novel."""

QUESTION_CHARS_MAX: Final = 8_192
"""A question in words, also of one that searches a vector store."""

READER_IDLE_S: Final = 30.0
"""After which the process that reads files for vector stores is ended: it holds some 60 MB."""

FILES_BYTES: Final = 2 * 1024 * 1024 * 1024
"""Usual disk for files that clients send: some thousand documents with pictures."""
PREFETCHES_MAX: Final = 32
"""Queries within one query, of fusions or as Qdrant's API has them: each is a search."""

QUERIES_MAX: Final = 128
"""Queries in one request: each is a search, one after the other."""

NAMESPACES_MAX: Final = 10_000
"""Namespaces of one index that are counted in one answer, as Pinecone's API has them."""
RECALL_COLLECTIONS_MAX: Final = 4
"""Collections that one answer recalls from: each is one search before the answer begins."""

RECALL_WAIT_S: Final = 30.0
"""From a request to the passages for it. A search takes milliseconds, a model that embeds the
question seconds if it has to be loaded for it."""

RECALL_QUESTION_CHARS: Final = 2_000
"""Of a message, so much is looked for: models that embed read some 500 tokens, and every word more
is one more to search by."""

PASSAGES_USED_MAX: Final = 64
"""Passages that one answer is made from: its receipt names each in 72 bytes."""

PASSAGES_TOKENS: Final = 4_096
"""Of passages in one prompt, for a model of which nobody here knows what it takes."""

SMALL_MODEL_BYTES: Final = 400_000_000
"""Weights of fewer bytes are a model that repeats instructions rather than follows them: measured
with SmolLM2-135M (98 MB); one of 1.1 GB follows them."""

SMALL_MODEL_PASSAGES: Final = 1
"""Passages that such a model is shown: with two it loses itself in them, measured likewise."""

QUOTE_CHARS: Final = 160
"""Of a passage, where an answer says what it was made from."""

PIPELINE_WAIT_S: Final = 120.0
"""All steps of a pipeline before its last, which is an answer like any other."""

RERANK_BYTES_MAX: Final = 4 * 1024 * 1024
"""What a server answers that sorts passages: a hundred bytes for each."""

RERANK_TEXTS_MAX: Final = 1_000
"""Passages that one request has sorted, as Cohere advises: a small model needs seconds for them."""

RERANK_TOKENS_MAX: Final = 512
"""Question and passage together, for models that sort them in a PoP: most were made with so many,
and what a pair needs of memory and time grows with the square."""

CROSS_CONFIG_BYTES_MAX: Final = 1024 * 1024
"""The `config.json` beside a model: a few KB, or hundreds with thousands of labels."""
SERVED_PAGE_RECORDS: Final = 500
"""Records that a memory server is asked for, or given, at once: with the longest vectors 8 MB."""

SERVED_CONNECT_S: Final = 5.0
"""Reaching a memory server."""

SERVED_ANSWER_S: Final = 30.0
"""One answer of a memory server."""

SERVED_INDEX_S: Final = 600.0
"""A memory server's making of an index: pgvector takes 13 s for 30,000 vectors."""

SERVED_CONNECTIONS_MAX: Final = 8
"""Connections to one memory server: as many threads ask it at once, others wait."""

PGVECTOR_INDEX_FROM: Final = 20_000
"""Records from which pgvector has a graph; below, each search looks at every vector."""

PGVECTOR_COMPARED_MAX: Final = 5_000
"""Records that pass a filter and are compared, each, though there is a graph: in some 10 ms."""

SERVED_IDS_PAGE: Final = 5_000
"""Ids that a memory server is asked for at once, where it has no order of its own."""

SERVED_BATCH_BYTES_MAX: Final = 8 * 1024 * 1024
"""Records that are sent to a memory server at once: Qdrant takes 32 MiB, Milvus 64."""

MOVING_PAGE_RECORDS: Final = 500
"""Records of a collection that are read, or written elsewhere, at once when it moves."""

MOVING_PASSES_MAX: Final = 4
"""Passes in which a collection that moves catches up with changes, before they have to stop."""
