%% One node of a Mnesia cluster that is measured, with the clients inside it. The driver (mnesia.ts) writes one term a
%% line to standard input and reads one line of JSON for each; the node ends when standard input does. Rows, keys,
%% buckets and what is timed are those of ../records.ts, ../histogram.ts and ../clients.ts.
-module(mnesia_bench_node).
-export([main/0]).

-define(ROWS_PER_TRANSACTION, 2000).
-define(BUCKETS, 2688).
-define(FOREVER, infinity).

main() ->
    case io:get_line("") of
        Line when is_list(Line) ->
            {ok, Tokens, _} = erl_scan:string(Line),
            {ok, Command} = erl_parse:parse_term(Tokens),
            answer(try {ok, do(Command)} catch Class:Reason:Stack -> {failed, {Class, Reason, Stack}} end),
            main();
        _ ->
            halt(0)
    end.

answer({ok, Fields}) -> say([{"ok", true} | Fields]);
answer({failed, Why}) -> say([{"ok", false}, {"why", io_lib:format("~0p", [Why])}]).

say(Fields) ->
    io:format("@{~ts}~n", [lists:join($,, [[$", Name, "\":", json(Value)] || {Name, Value} <- Fields])]).

json(true) -> "true";
json(false) -> "false";
json(Value) when is_integer(Value) -> integer_to_list(Value);
json(Value) when is_float(Value) -> float_to_list(Value, [{decimals, 3}]);
json({pairs, Pairs}) -> [$[, lists:join($,, [io_lib:format("[~b,~b]", [A, B]) || {A, B} <- Pairs]), $]];
json(Text) -> [$", [escaped(C) || C <- lists:flatten(Text)], $"].

escaped(C) when C < 32; C =:= $"; C =:= $\\ -> $\s;
escaped(C) -> C.

%% -- the cluster ------------------------------------------------------------------------------------------------------

do({connect, Nodes}) ->
    [] = [Node || Node <- Nodes, net_kernel:connect_node(Node) =/= true],
    [];
do({create_schema, Nodes}) ->
    ok = mnesia:create_schema(Nodes),
    [];
do(start) ->
    Started = now_ns(),
    ok = mnesia:start(),
    [{"start_ms", (now_ns() - Started) / 1.0e6}];
do(running) ->
    [{"value", length(mnesia:system_info(running_db_nodes))}];
do({wait, Tables}) ->
    ok = mnesia:wait_for_tables(Tables, ?FOREVER),
    [];
do({create_table, Table, Storage, Nodes}) ->
    {atomic, ok} = mnesia:create_table(Table, [{Storage, Nodes}, {attributes, [key, grp, val]}]),
    ok = mnesia:wait_for_tables([Table], ?FOREVER),
    [];
do({populate, Table, From, To, N}) ->
    populate(Table, From, To, N),
    [];
%% Nothing of what was written before is left to do once the measurement runs.
do(settle) ->
    dumped = mnesia:dump_log(),
    [];
do(stop) ->
    stopped = mnesia:stop(),
    [];
do(memory) ->
    [{"heapUsedBytes", mnesia_bytes()}];
do({size, Table}) ->
    [{"value", integer_to_list(mnesia:table_info(Table, size))}];
do({state, Table}) ->
    Count = fun(Record, {Rows, Sum}) -> {Rows + 1, Sum + number_of(Record)} end,
    {Rows, Sum} = mnesia:activity(ets, fun() -> mnesia:foldl(Count, {0, 0}, Table) end),
    [{"rows", Rows}, {"sum", Sum}, {"digest", integer_to_list(digest(Table))}];
do({run, Operation, Table, Keys, Clients, Salt, WarmMs, MeasuredMs}) ->
    run(Operation, Table, Keys, Clients, Salt, WarmMs, MeasuredMs);
do({gap, Table, Keys, Clients, Salt, WarmMs, MeasuredMs}) ->
    gap(Table, Keys, Clients, Salt, WarmMs, MeasuredMs);
do({acknowledge, Table, Clients, FirstKey, File}) ->
    acknowledge(Table, Clients, FirstKey, File);
do({look_for, Table, File}) ->
    {ok, Octets} = file:read_file(File),
    Keys = [binary_to_integer(Key) || Key <- lists:droplast(binary:split(Octets, <<"\n">>, [global]))],
    Missing = [Key || Key <- Keys, mnesia:dirty_read(Table, Key) =:= []],
    [{"found", length(Keys) - length(Missing)}, {"missing", length(Missing)}].

populate(_, From, To, _) when From >= To -> ok;
populate(Table, From, To, N) ->
    End = min(From + ?ROWS_PER_TRANSACTION, To),
    Write = fun() -> [mnesia:write(record(Table, Key, N)) || Key <- lists:seq(From, End - 1)], ok end,
    {atomic, ok} = mnesia:transaction(Write),
    populate(Table, End, To, N).

record(Table, Key, N) ->
    {Table, Key, Key div 10,
     #{n => N,
       name => <<"user-0123456789-0123456789">>,
       mail => <<"someone.somewhere@example.invalid">>,
       note => <<"abcdefghijklmnopqrstuvwxyz">>}}.

mnesia_bytes() ->
    Words = [mnesia:table_info(Table, memory) || Table <- mnesia:system_info(tables)],
    lists:sum(Words) * erlang:system_info(wordsize).

number_of({_, _, _, #{n := N}}) -> N.

digest(Table) ->
    Add = fun(Record, Digest) -> Digest bxor erlang:phash2(Record, 1 bsl 32) end,
    mnesia:activity(ets, fun() -> mnesia:foldl(Add, 0, Table) end).

%% -- operations -------------------------------------------------------------------------------------------------------

operation(dirty_read, Table, Keys) ->
    fun(State) -> [_] = mnesia:dirty_read(Table, State rem Keys) end;
operation(tx_read, Table, Keys) ->
    fun(State) -> {atomic, [_]} = mnesia:transaction(fun() -> mnesia:read(Table, State rem Keys) end) end;
operation(tx_write, Table, Keys) ->
    fun(State) -> {atomic, ok} = mnesia:transaction(write(Table, Keys, State)) end;
operation(sync_tx_write, Table, Keys) ->
    fun(State) -> {atomic, ok} = mnesia:sync_transaction(write(Table, Keys, State)) end;
operation(dirty_write, Table, Keys) ->
    fun(State) -> ok = mnesia:dirty_write(record(Table, State rem Keys, State)) end;
operation(tx_read_modify_write, Table, Keys) ->
    fun(State) -> {atomic, ok} = mnesia:transaction(fun() -> increment(Table, State rem Keys) end) end.

write(Table, Keys, State) ->
    fun() -> mnesia:write(record(Table, State rem Keys, State)) end.

increment(Table, Key) ->
    put(attempts, get(attempts) + 1),
    [{Table, Key, Group, Value = #{n := N}}] = mnesia:read(Table, Key, write),
    mnesia:write({Table, Key, Group, Value#{n := N + 1}}).

first_state(Client, Salt) -> 1000 + Salt + 7919 * Client.
next_state(State) -> State * 16807 rem 2147483647.

%% -- closed loops -----------------------------------------------------------------------------------------------------

run(Operation, Table, Keys, Clients, Salt, WarmMs, MeasuredMs) ->
    From = now_ns() + WarmMs * 1000000,
    End = From + MeasuredMs * 1000000,
    Counts = counters:new(?BUCKETS, [write_concurrency]),
    Driver = self(),
    Loops = [spawn_link(fun() ->
                 put(attempts, 0),
                 Do = operation(Operation, Table, Keys),
                 Done = client(Do, first_state(Client, Salt), now_ns(), From, End, Counts, 0),
                 Driver ! {self(), Done, get(attempts)}
             end) || Client <- lists:seq(1, Clients)],
    timer:sleep(WarmMs),
    Before = processor_ms(),
    timer:sleep(MeasuredMs),
    Processor = processor_ms() - Before,
    Results = [receive {Loop, Done, Attempts} -> {Done, Attempts} end || Loop <- Loops],
    Buckets = [{Bucket, counters:get(Counts, Bucket + 1)} || Bucket <- lists:seq(0, ?BUCKETS - 1)],
    Filled = [Pair || Pair = {_, Count} <- Buckets, Count > 0],
    [{"operations", lists:sum([Count || {_, Count} <- Filled])},
     {"succeeded", lists:sum([Done || {Done, _} <- Results])},
     {"attempts", lists:sum([Attempts || {_, Attempts} <- Results])},
     {"latencies", {pairs, Filled}},
     {"cpuUs", Processor * 1000}].

client(Do, State, Began, From, End, Counts, Done) when Began < End ->
    Next = next_state(State),
    Do(Next),
    Ended = now_ns(),
    Began >= From andalso counters:add(Counts, bucket(Ended - Began) + 1, 1),
    client(Do, Next, Ended, From, End, Counts, Done + 1);
client(_, _, _, _, _, _, Done) ->
    Done.

bucket(Ns) when Ns < 1 -> 0;
bucket(Ns) ->
    Doubling = trunc(math:log2(Ns)),
    min(Doubling * 64 + ((Ns bsl 6) bsr Doubling) - 64, ?BUCKETS - 1).

%% -- while something happens to the cluster -----------------------------------------------------------------------------

gap(Table, Keys, Clients, Salt, WarmMs, MeasuredMs) ->
    From = now_ns() + WarmMs * 1000000,
    End = From + MeasuredMs * 1000000,
    Last = atomics:new(1, []),
    atomics:put(Last, 1, From),
    Driver = self(),
    Loops = [spawn_link(fun() ->
                 Do = fun(Next) -> mnesia:transaction(write(Table, Keys, Next)) =:= {atomic, ok} end,
                 Driver ! {self(), gap_client(Do, first_state(Client, Salt), now_ns(), From, End, Last, {0, 0, 0, 0})}
             end) || Client <- lists:seq(1, Clients)],
    Results = [receive {Loop, Result} -> Result end || Loop <- Loops],
    {Gap, At, _, _} = lists:max(Results),
    [{"longestGapMs", Gap / 1.0e6},
     {"gapBeganAt", (At + erlang:time_offset(nanosecond)) / 1.0e6},
     {"longestOperationMs", lists:max([Longest || {_, _, Longest, _} <- Results]) / 1.0e6},
     {"commits", lists:sum([Commits || {_, _, _, Commits} <- Results])}].

gap_client(Do, State, Began, From, End, Last, {Gap, At, Longest, Commits}) when Began < End ->
    Next = next_state(State),
    Committed = Do(Next),
    Ended = now_ns(),
    case Committed andalso Ended >= From of
        false ->
            gap_client(Do, Next, Ended, From, End, Last, {Gap, At, Longest, Commits});
        true ->
            Before = atomics:exchange(Last, 1, Ended),
            {Wider, Since} = max({Ended - Before, Before}, {Gap, At}),
            gap_client(Do, Next, Ended, From, End, Last, {Wider, Since, max(Longest, Ended - Began), Commits + 1})
    end;
gap_client(_, _, _, _, _, _, Result) ->
    Result.

%% A raw file without delayed writes: a key is with the operating system before its client goes on.
acknowledge(Table, Clients, FirstKey, File) ->
    Next = atomics:new(1, []),
    atomics:put(Next, 1, FirstKey),
    [spawn_link(fun() ->
         {ok, Descriptor} = file:open(File, [raw, append]),
         acknowledge_loop(Table, Next, Descriptor)
     end) || _ <- lists:seq(1, Clients)],
    receive never -> [] end.

acknowledge_loop(Table, Next, Descriptor) ->
    Key = atomics:add_get(Next, 1, 1),
    {atomic, ok} = mnesia:transaction(fun() -> mnesia:write(record(Table, Key, Key)) end),
    ok = file:write(Descriptor, [integer_to_list(Key), $\n]),
    acknowledge_loop(Table, Next, Descriptor).

now_ns() -> erlang:monotonic_time(nanosecond).

processor_ms() -> element(1, erlang:statistics(runtime)).
