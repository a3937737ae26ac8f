# The session of the user's guide with Ruby's xmlrpc (Debian's ruby-xmlrpc): session.rb URL
require "digest/sha1"
require "xmlrpc/client"

gateway = XMLRPC::Client.new2(ARGV[0])
base64 = ->(bytes) { XMLRPC::Base64.new(bytes) }
sha = ->(text) { base64.(Digest::SHA1.digest(text)) }
key = sha.("colors of ruby")
values = -> { gateway.call("get", key, 10, base64.(""), "x")[0] }

puts "put red #{gateway.call('put', key, base64.('red'), 3600, 'x')}"
puts "put_removable blue #{gateway.call('put_removable', key, base64.('blue'), 'SHA', sha.('sesame'), 3600, 'x')}"
puts ["get", *values.()].join(" ")
puts "rm blue #{gateway.call('rm', key, sha.('blue'), 'SHA', base64.('sesame'), 3600, 'x')}"
puts ["get", *values.()].join(" ")
details, place = gateway.call("get_details", key, 10, base64.(""), "x")
details.each do |value, remaining, hash_type, secret_hash|
  fresh = remaining.between?(3500, 3600) ? "fresh" : remaining
  puts "details #{value} #{fresh} #{hash_type} #{secret_hash.unpack1('H*')}"
end
puts "place #{place.length}"
begin
  gateway.call("colours")
rescue XMLRPC::FaultException => fault
  puts "fault #{fault.faultCode} #{fault.faultString}"
end
