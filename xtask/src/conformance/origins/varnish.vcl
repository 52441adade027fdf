vcl 4.1;
import std;
backend default none;
sub vcl_recv {
    std.cache_req_body(1MB);
    return (synth(200));
}
