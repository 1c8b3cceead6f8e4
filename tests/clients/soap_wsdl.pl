# Calls the service as a program on SOAP::WSDL does: with the classes that wsdl2perl makes from the WSDL, in `lib` beside it.
# README.md says how to talk to it.
#
#     perl -I lib soap_wsdl.pl WSDL-URL 1.1

use strict;
use warnings;
use JSON::PP;
use Vendor::Interfaces::LicenseManagementService::LicenseManagementServiceSoap;

my ($url, $version) = @ARGV;
die "SOAP::WSDL knows SOAP 1.1 only" if $version ne '1.1';
$| = 1;
my $service = Vendor::Interfaces::LicenseManagementService::LicenseManagementServiceSoap->new({ proxy => $url =~ s/\?.*//r });

while (my $line = <STDIN>) {
    my $json = JSON::PP->new->utf8;
    print $json->encode(answer($json->decode($line))), "\n";
}

sub answer {
    my ($given) = @_;
    my $operation = $given->{operation};
    my $header = { UserName => $given->{user_name}, Password => $given->{password} };
    my $response = $service->$operation({ request => sent($given->{request}) }, $header);
    # A fault is false.
    return { fault => $response->get_faultstring . '', faultcode => $response->get_faultcode . '' } if !$response;
    my $returned = $response->as_hash_ref->{"${operation}Result"};
    my $result = delete $returned->{Result};
    my $message = $result->{Message} // '';
    return { result => 0 + $result->{Result}, code => $result->{Code}, message => $message, %{ plain($returned) } };
}

sub sent {
    my ($value) = @_;
    my $type = ref $value;
    return { map { $_ => sent($value->{$_}) } keys %$value } if $type eq 'HASH';
    return [map { sent($_) } @$value] if $type eq 'ARRAY';
    return $type eq 'JSON::PP::Boolean' ? ($value ? 'true' : 'false') : $value;
}

# It hands out texts, and an array of one as its item.
sub plain {
    my ($value, $name) = (@_, '');
    if ($name =~ /^(UserLicenseSummary|LicensePool|AssignLicensesItemResult)$/ && ref $value ne 'ARRAY') {
        $value = [$value];
    }
    return { map { $_ => plain($value->{$_}, $_) } keys %$value } if ref $value eq 'HASH';
    return [map { plain($_) } @$value] if ref $value eq 'ARRAY';
    return undef if $name =~ /^(StartsAt|ExpiresAt)$/ && ($value // '') eq '';
    return $name =~ /^(Seats|Result$)/ ? 0 + $value : $value;
}
