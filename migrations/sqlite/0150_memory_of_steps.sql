-- What a step asks of memory is its limit from now on. Plans that asked for 2 GiB, which nothing held them to, ask for what there is.
UPDATE run_steps SET resources_json = '{"gpus":0,"cpu_millis":1000,"memory_bytes":0}'
WHERE resources_json = '{"gpus":0,"cpu_millis":1000,"memory_bytes":2147483648}';
