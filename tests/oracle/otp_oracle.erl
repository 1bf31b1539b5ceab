%% Run crash scripts against OTP's own supervisor and write down what it did.
%%
%%     erlc -o DIR otp_oracle.erl
%%     erl -noshell -pa DIR -run otp_oracle main SCRIPTS OUTCOMES
%%
%% SCRIPTS is a file of Erlang terms, one {Name, Supervisor, Faults, Events} each, written by scripts.py. OUTCOMES gets
%% one line of JSON for the release, then one per script. This module decides nothing about restarts and never sleeps
%% (but for `align`, which waits for a place within the second of OTP's clock). Instead it asks which_children after
%% every event, a call that queues behind the handling of the exit, until nobody is restarting and nobody listed is dead.
%%
%% One process drives each script and is the parent of its tree. Children write what happens to them into an ets table
%% on their own process before they answer or end, so the order of the log is the order of the happenings.
-module(otp_oracle).
-behaviour(supervisor).
-export([main/1, init/1, start/2, log/2]).

-record(world, {table, root}).

main([ScriptsFile, OutcomesFile]) ->
    ok = logger:remove_handler(default),
    ok = logger:add_handler(?MODULE, ?MODULE, #{level => error}),
    {ok, Scripts} = file:consult(ScriptsFile),
    {ok, File} = file:open(OutcomesFile, [write, raw, delayed_write]),
    Release = [{otp_release, erlang:system_info(otp_release)}, {stdlib, stdlib_version()}],
    ok = file:write(File, [json({Release}), $\n]),
    [ok = file:write(File, [json(outcome(Script)), $\n]) || Script <- Scripts],
    ok = file:close(File),
    init:stop().

stdlib_version() ->
    _ = application:load(stdlib),
    {ok, Version} = application:get_key(stdlib, vsn),
    Version.

%% Each script has a process of its own, so nothing of one is left in the mailbox of the next.
outcome({Name, _, _, _} = Script) ->
    {Pid, Ref} = spawn_monitor(fun() -> exit({done, play(Script)}) end),
    receive
        {'DOWN', Ref, process, Pid, {done, Outcome}} -> {[{name, Name} | Outcome]};
        {'DOWN', Ref, process, Pid, Reason} -> exit({script_failed, Name, Reason})
    after 20000 -> exit({script_hangs, Name, process_info(Pid, [current_stacktrace, messages])})
    end.

play({_Name, Tree, Faults, Events}) ->
    process_flag(trap_exit, true),
    Table = ets:new(world, [public, ordered_set]),
    ets:insert(Table, {seq, 0}),
    World = #world{table = Table},
    [perform(Fault, World) || Fault <- Faults],
    case supervisor:start_link(?MODULE, {Table, '', Tree}) of
        {ok, Root} ->
            step(started, World#world{root = Root}, Events, []);
        {error, {shutdown, {failed_to_start_child, Id, _}}} ->
            [{steps, [[[not_started, Id], told(Table), [], []]]}, {ended, not_started}]
    end.

%% One event after the other; the supervisor's end is the end of the script.
step(Result, #world{table = Table, root = Root} = World, Events, Steps) ->
    Settled = settle(Root),
    Answer = answered(Result),
    {Log, GaveUp} = {told(Table), gave_up(Table)},
    case {Settled, Events} of
        {ended, _} ->
            Reason = receive {'EXIT', Root, Why} -> Why end,
            How = case {lists:member('', GaveUp), ets:member(Table, stop_asked), Reason} of
                {true, _, shutdown} -> gave_up;
                {false, true, shutdown} -> stopped;
                {false, false, shutdown} -> shutdown
            end,
            [{steps, lists:reverse([[Answer, Log, GaveUp, []] | Steps])}, {ended, How}];
        {quiet, []} ->
            Counted = maps:from_list(supervisor:count_children(Root)),
            #{specs := Specs, active := Active} = Counted,
            [
                {steps, lists:reverse([[Answer, Log, GaveUp, children(Root, '')] | Steps])},
                {ended, running},
                {count, [Specs, Active]}
            ];
        {quiet, [Event | Rest]} ->
            Step = [Answer, Log, GaveUp, children(Root, '')],
            step(perform(Event, World), World, Rest, [Step | Steps])
    end.

%% Replies to requests made meanwhile come once the supervisor has settled, or not at all when it has ended.
answered({replies, Refs}) -> [receive {Ref, Reply} -> plain(Reply) after 0 -> ended end || Ref <- Refs];
answered(Result) -> Result.

settle(Supervisor) ->
    case which_children(Supervisor) of
        ended -> ended;
        Children ->
            case lists:all(fun is_quiet/1, Children) of
                true -> quiet;
                false -> erlang:yield(), settle(Supervisor)
            end
    end.

is_quiet({_, undefined, _, _}) -> true;
is_quiet({_, restarting, _, _}) -> false;
is_quiet({_, Pid, worker, _}) -> is_process_alive(Pid);
is_quiet({_, Pid, supervisor, _}) -> is_process_alive(Pid) andalso settle(Pid) =:= quiet.

which_children(Supervisor) ->
    try supervisor:which_children(Supervisor)
    catch exit:_ -> ended
    end.

children(Supervisor, Path) ->
    Below = fun
        ({Id, undefined, _, _}) -> [[below(Path, Id), down]];
        ({Id, _, worker, _}) -> [[below(Path, Id), up]];
        ({Id, Pid, supervisor, _}) -> [[below(Path, Id), up] | children(Pid, below(Path, Id))]
    end,
    lists:flatmap(Below, lists:reverse(supervisor:which_children(Supervisor))).

%% ------------------------------------------------------------------------------------------------ events
perform({fail, Path, Times}, World) -> faults(World, Path, lists:duplicate(Times, {fail, [], none}));
perform({ignore, Path, Times}, World) -> faults(World, Path, lists:duplicate(Times, ignore));
perform({'end', Path, How}, World) ->
    case alive(World, Path) of
        {ok, Pid} -> die(Pid, How), done;
        absent -> absent
    end;
perform({meanwhile, Path, How, Events}, World) ->
    %% Its next start fails, and before the supervisor can try again these things happen to it.
    case alive(World, Path) of
        {ok, Pid} ->
            Asked = [{Event, make_ref()} || Event <- Events],
            faults(World, Path, [{fail, Asked, self()}]),
            die(Pid, How),
            {replies, [Ref || {Event, Ref} <- Asked, is_request(Event)]};
        absent -> absent
    end;
perform({together, SupPath, Ends}, World) ->
    %% All of them are dead before their supervisor looks at the first.
    case alive(World, SupPath) of
        absent -> absent;
        {ok, Supervisor} ->
            ok = sys:suspend(Supervisor),
            Results = [end_unseen(alive(World, below(SupPath, Id)), Supervisor, How) || {Id, How} <- Ends],
            ok = sys:resume(Supervisor),
            Results
    end;
perform({tick, Seconds}, World) ->
    [age(Pid, Seconds) || Pid <- supervisors(World#world.root)],
    done;
perform({align, Milliseconds}, _World) ->
    %% Wait for this place within the second that the supervisor's clock counts.
    Now = erlang:monotonic_time(millisecond),
    Wait = ((Milliseconds - Now) rem 1000 + 1000) rem 1000,
    receive after Wait -> done end;
perform(stop, #world{table = Table, root = Root}) ->
    ets:insert(Table, {stop_asked}),
    exit(Root, shutdown),
    stopped;
perform(Request, World) ->
    case alive(World, element(2, Request)) of
        absent -> absent;
        {ok, Supervisor} ->
            try plain(gen_server:call(Supervisor, call(Request, World), infinity))
            catch exit:_ -> ended
            end
    end.

call({terminate, _, Id}, _) -> {terminate_child, Id};
call({restart, _, Id}, _) -> {restart_child, Id};
call({delete, _, Id}, _) -> {delete_child, Id};
call({start, Path, Child}, World) -> {start_child, spec(World#world.table, Path, Child)}.

is_request(stop) -> false;
is_request(Event) -> lists:member(element(1, Event), [terminate, restart, delete, start]).

plain(ok) -> ok;
plain({ok, undefined}) -> ignored;
plain({ok, _}) -> ok;
plain({error, {already_started, _}}) -> already_started;
plain({error, Known}) when is_atom(Known), Known =/= nope -> Known;
plain({error, _}) -> not_started.

die(Pid, How) ->
    Ref = monitor(process, Pid),
    Pid ! {die, How},
    receive {'DOWN', Ref, process, Pid, _} -> ok end.

end_unseen(absent, _, _) -> absent;
end_unseen({ok, Pid}, Supervisor, How) ->
    die(Pid, How),
    until_queued(Supervisor, Pid).

until_queued(Supervisor, Pid) ->
    {messages, Queue} = process_info(Supervisor, messages),
    case [From || {'EXIT', From, _} <- Queue, From =:= Pid] of
        [] -> erlang:yield(), until_queued(Supervisor, Pid);
        _ -> done
    end.

%% Seconds pass for the supervisor when its restarts become older. The layout is looked at before it is trusted.
age(Supervisor, Seconds) ->
    Older = fun(State) ->
        {Intensity, Period, Restarts} = {element(6, State), element(7, State), element(8, State)},
        true = is_integer(Intensity) andalso is_integer(Period) andalso lists:all(fun is_integer/1, Restarts),
        setelement(8, State, [At - Seconds || At <- Restarts])
    end,
    sys:replace_state(Supervisor, Older).

supervisors(Supervisor) ->
    Below = [supervisors(Pid) || {_, Pid, supervisor, _} <- supervisor:which_children(Supervisor), is_pid(Pid)],
    [Supervisor | lists:append(Below)].

%% ------------------------------------------------------------------------------------------------ the tree
init({Table, Path, {Strategy, Intensity, Period, AutoShutdown, Children}}) ->
    put(?MODULE, {Table, Path}),
    ets:insert(Table, {{pid, Path}, self()}),
    Flags = #{strategy => Strategy, intensity => Intensity, period => Period, auto_shutdown => AutoShutdown},
    {ok, {Flags, [spec(Table, Path, Child) || Child <- Children]}}.

spec(Table, Path, {Id, Restart, Significant, worker}) ->
    Start = {?MODULE, start, [Table, below(Path, Id)]},
    #{id => Id, start => Start, restart => Restart, significant => Significant, shutdown => 5000};
spec(Table, Path, {Id, Restart, Significant, Supervisor}) ->
    Start = {supervisor, start_link, [?MODULE, {Table, below(Path, Id), Supervisor}]},
    #{id => Id, start => Start, restart => Restart, significant => Significant, shutdown => infinity, type => supervisor}.

below('', Id) -> Id;
below(Path, Id) -> list_to_atom(atom_to_list(Path) ++ "/" ++ atom_to_list(Id)).

%% Runs in the supervisor's process, as every start function does.
start(Table, Path) ->
    case next_fault(Table, Path) of
        ignore ->
            tell(Table, ignored, Path),
            ignore;
        {fail, Meanwhile, Asker} ->
            tell(Table, failed, Path),
            [happen(Event, Ref, Asker, Table) || {Event, Ref} <- Meanwhile],
            {error, nope};
        none ->
            Supervisor = self(),
            Pid = spawn_link(fun() ->
                process_flag(trap_exit, true),
                ets:insert(Table, {{pid, Path}, self()}),
                tell(Table, started, Path),
                Supervisor ! {ready, self()},
                live(Table, Path)
            end),
            receive {ready, Pid} -> {ok, Pid} end
    end.

live(Table, Path) ->
    receive
        {die, crash} -> exit(boom);
        {die, Reason} -> exit(Reason);
        {'EXIT', _Supervisor, Reason} -> tell(Table, stopped, Path), exit(Reason)
    end.

%% In the supervisor's process, which is about to ask itself for another try: what is sent here comes before that.
happen({'end', Path, How}, _, _, Table) ->
    case alive(#world{table = Table}, Path) of
        absent -> ok;
        {ok, Pid} ->
            die(Pid, How),
            receive {'EXIT', Pid, _} = Exit -> self() ! Exit end
    end;
happen(stop, _, Parent, Table) ->
    ets:insert(Table, {stop_asked}),
    self() ! {'EXIT', Parent, shutdown};
happen(Request, Ref, Asker, Table) ->
    self() ! {'$gen_call', {Asker, Ref}, call(Request, #world{table = Table})}.

%% ------------------------------------------------------------------------------------------------ what is written down
faults(#world{table = Table}, Path, More) ->
    Faults = case ets:lookup(Table, {faults, Path}) of [] -> []; [{_, Known}] -> Known end,
    ets:insert(Table, {{faults, Path}, Faults ++ More}),
    done.

next_fault(Table, Path) ->
    case ets:lookup(Table, {faults, Path}) of
        [{Key, [Fault | Rest]}] -> ets:insert(Table, {Key, Rest}), Fault;
        _ -> none
    end.

alive(#world{table = Table}, Path) ->
    case ets:lookup(Table, {pid, Path}) of
        [{_, Pid}] -> case is_process_alive(Pid) of true -> {ok, Pid}; false -> absent end;
        [] -> absent
    end.

tell(Table, What, Path) -> ets:insert(Table, {{log, ets:update_counter(Table, seq, 1)}, [What, Path]}).

told(Table) -> taken(Table, log).

gave_up(Table) -> taken(Table, gave_up).

taken(Table, Kind) ->
    Found = ets:match(Table, {{Kind, '_'}, '$1'}),
    ets:match_delete(Table, {{Kind, '_'}, '_'}),
    lists:append(Found).

%% A logger handler runs in the process that logs, here the supervisor that is about to give up.
log(#{msg := {report, #{label := {supervisor, shutdown}, report := Report}}}, _Config) ->
    reached_max_restart_intensity = proplists:get_value(reason, Report),
    {Table, Path} = get(?MODULE),
    ets:insert(Table, {{gave_up, ets:update_counter(Table, seq, 1)}, Path});
log(_, _) ->
    ok.

%% ------------------------------------------------------------------------------------------------ JSON
json({Pairs}) -> [${, lists:join($,, [[json(Key), $:, json(Value)] || {Key, Value} <- Pairs]), $}];
json(Atom) when is_atom(Atom) -> [$", atom_to_list(Atom), $"];
json(Number) when is_integer(Number) -> integer_to_list(Number);
json([Char | _] = Text) when is_integer(Char), Char >= 32 -> [$", Text, $"];
json(List) when is_list(List) -> [$[, lists:join($,, [json(Item) || Item <- List]), $]].
