# Calls the service as a program on Ruby's soap4r does, knowing only where the WSDL is. README.md says how to talk to it.
#
#     ruby soap4r_client.rb WSDL-URL 1.1

require 'json'
require 'soap/header/simplehandler'
require 'soap/wsdlDriver'

NAMESPACE = 'sosonlinebackup.com'.freeze

# The header block, in every call.
class AuthHeader < SOAP::Header::SimpleHandler
  attr_accessor :user_name, :password

  def initialize
    super(XSD::QName.new(NAMESPACE, 'AuthHeader'))
  end

  def on_simple_outbound
    { 'UserName' => user_name, 'Password' => password }
  end
end

def call(driver, header, given)
  operation = given['operation']
  header.user_name, header.password = given.values_at('user_name', 'password')
  response = driver.public_send(operation, request: sent(given['request']))
  returned = plain(response)["#{operation}Result"]
  result = returned.delete('Result')
  { result: result['Result'], code: result['Code'], message: result['Message'] || '', **returned }
rescue SOAP::FaultError => fault
  { fault: fault.faultstring.data, faultcode: fault.faultcode.data.to_s }
rescue StandardError => error
  { error: error.message }
end

# soap4r takes false for nil.
def sent(request)
  request.transform_values { |value| [true, false].include?(value) ? value.to_s : value }
end

# As JSON has it. An array of one is its item, null an empty text.
def plain(value, name = '')
  value = [value] if name =~ /^(UserLicenseSummary|LicensePool|AssignLicensesItemResult)$/ && !value.is_a?(Array)
  case value
  when SOAP::Mapping::Object
    value.__xmlele.to_h { |qname, member| [qname.name, plain(member, qname.name)] }
  when Array
    value.map { |item| plain(item) }
  when DateTime, Time
    value.to_time.utc.strftime('%Y-%m-%dT%H:%M:%SZ')
  else
    name =~ /^Seats|^Result$/ ? Integer(value) : value
  end
end

url, version = ARGV
raise 'soap4r knows SOAP 1.1 only' unless version == '1.1'
$stdout.sync = true
XSD::Charset.encoding = 'UTF8'
$stderr = File.open(File::NULL, 'w') # it says which elements of the WSDL it ignores
driver = SOAP::WSDLDriverFactory.new(url).create_rpc_driver
$stderr = STDERR
# An operation the WSDL does not have: a value it does not have is not sent.
names = %w[NoSuchOperation NoSuchOperationResponse].map { |name| XSD::QName.new(NAMESPACE, name) }
driver.add_document_method('NoSuchOperation', "#{NAMESPACE}/NoSuchOperation", [names[0]], [names[1]])
header = AuthHeader.new
driver.headerhandler << header
$stdin.each_line { |line| puts JSON.generate(call(driver, header, JSON.parse(line))) }
